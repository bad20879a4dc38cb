"""U-Nets of MONAI, guided-diffusion and improved-diffusion: their own numbers, stored, are ours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.stored import drawn, inputs, stored
from torch import Tensor

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.interop.monai_unet import unet_from_monai, unet_to_monai
from unfog.interop.openai_unet import unet_from_openai, unet_to_openai
from unfog.networks import UNet

MONAI = ("monai-2d-classes", "monai-3d-blocks")
OPENAI = ("guided-diffusion", "improved-diffusion")


def ours(name: str, held: dict[str, Any], state: dict[str, Tensor]) -> UNet:
    """Our network with the stored weights."""
    if name in MONAI:
        return unet_from_monai(state, held["config"])[0].eval()
    return unet_from_openai(state, head_dim=16)[0].eval()


@pytest.mark.parametrize("name", [*MONAI, *OPENAI])
@torch.no_grad()
def test_their_numbers_are_ours(name: str) -> None:
    held = stored(name)
    state = drawn(held["shapes"])
    unet = ours(name, held, state)
    channels = held["config"]["in_channels"]
    count = held["config"].get("num_class_embeds") or held["config"].get("num_classes")
    context = Context(vector=torch.eye(count)[[0, -1]]) if count else Context()
    x, label = inputs(channels, held["sides"])
    out, theirs = unet(x, label, context), torch.tensor(held["out"])
    assert theirs.abs().max() > 0.1
    assert (out.flatten() - theirs).abs().max() < 1e-4
    # What counts there counts here.
    assert (unet(x, label + 50, context) - out).abs().max() > 1e-2
    if count:
        other = Context(vector=torch.eye(count)[[-1, 0]])
        assert (unet(x, label, other) - out).abs().max() > 1e-2
    # And back, bit for bit.
    back = unet_to_monai(unet)[0] if name in MONAI else unet_to_openai(unet)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], value) for key, value in state.items())


@pytest.mark.parametrize("name", ["monai-2d-classes", "guided-diffusion"])
def test_the_first_three_tensors_that_are_wrong_are_named(name: str) -> None:
    held = stored(name)
    state = drawn(held["shapes"])
    middle = sorted(key for key in state if key.startswith("middle"))
    with pytest.raises(InputError) as refused:
        ours(name, held, {k: v for k, v in state.items() if k not in middle[-5:]})
    assert str(refused.value).count("middle_block") == 3
    assert "and 2 more" in str(refused.value)
    with pytest.raises(InputError, match="besides extra"):
        ours(name, held, {**state, "extra": torch.ones(1)})
    with pytest.raises(InputError, match=r"another shape middle_block\S+ \(3,\)"):
        ours(name, held, {**state, middle[0]: torch.ones(3)})
    with pytest.raises(InputError, match="have no"):
        ours(name, held, {"a": torch.ones(1)})


def test_the_names_of_monai_generative_are_read() -> None:
    held = stored("monai-2d-classes")
    state = drawn(held["shapes"])
    old = {
        k.replace(".attn.out_proj.", ".proj_attn.")
        .replace(".attn.to_", ".to_")
        .replace(".postconv.", ".conv."): v
        for k, v in state.items()
    }
    assert old.keys() != state.keys()
    back = unet_to_monai(unet_from_monai(old, held["config"])[0])[0]
    assert all(torch.equal(back[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"with_conditioning": True}, "with_conditioning"),
        ({"use_combined_linear": True}, "use_combined_linear"),
        ({"num_head_channels": [8, 8, 16]}, "num_head_channels"),
        ({"something_new": 1}, "something_new"),
    ],
)
def test_arguments_that_are_not_honoured_are_named(change: dict[str, Any], message: str) -> None:
    held = stored("monai-2d-classes")
    with pytest.raises(InputError, match=message):
        unet_from_monai(drawn(held["shapes"]), {**held["config"], **change})


def test_what_monai_has_not_is_not_written() -> None:
    fitting = {
        **{"channels": 8, "multipliers": (1, 2), "blocks": 1, "groups": 4, "head_dim": 8},
        **{"modulation": "add", "embedding_shift": 0.0},
    }
    unet_to_monai(UNet(1, 1, **fitting))
    for change in (
        {"patch": 2},
        {"modulation": "scale-shift"},
        {"embedding_shift": 1.0},
        {"downsample_padding": 0},
        {"middle_attention": False},
        {"token_width": 4},
        {"dims": 1},
        {"detail": 0.1},
    ):
        with pytest.raises(InputError, match="cannot be written"):
            unet_to_monai(UNet(1, 1, **{**fitting, **change}))
    with pytest.raises(InputError, match="heads of one width"):
        unet_to_monai(UNet(1, 1, **{**fitting, "head_dim": None, "attention_levels": (0, 1)}))


def test_the_published_256_model_has_its_size() -> None:
    """552.8 M parameters, as Dhariwal & Nichol 2021 state."""
    with torch.device("meta"):
        unet = UNet(
            3,
            6,
            channels=256,
            multipliers=(1, 1, 2, 2, 4, 4),
            attention_levels=(3, 4, 5),
            head_dim=64,
            resampling_blocks=True,
        )
    assert sum(p.numel() for p in unet.parameters()) == 552_814_086


def test_residual_blocks_between_levels_take_odd_sides() -> None:
    unet = UNet(1, 1, channels=4, multipliers=(1, 1), blocks=1, groups=2, resampling_blocks=True)
    torch.nn.init.normal_(unet.leave.weight)
    x = torch.randn(1, 1, 9, 7)
    assert unet(x, torch.zeros(1)).shape == x.shape
