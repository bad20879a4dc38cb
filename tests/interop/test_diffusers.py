"""The same weights compute the same numbers here and in diffusers, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.interop.diffusers import (
    DiffusersNetwork,
    load_diffusers,
    save_diffusers,
    unet_from_diffusers,
    unet_to_diffusers,
)
from unfog.networks import UNet

DDPM: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (32, 64, 64, 64),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
    "norm_num_groups": 32,
}
SCALE_SHIFT: dict[str, Any] = {
    "in_channels": 2,
    "out_channels": 4,
    "block_out_channels": (16, 32, 48),
    "down_block_types": ("AttnDownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "AttnUpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 8,
    "norm_num_groups": 8,
    "attn_norm_num_groups": 8,
    "resnet_time_scale_shift": "scale_shift",
}
CLASSES: dict[str, Any] = {
    **DDPM,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "num_class_embeds": 5,
    "add_attention": False,
}
CONFIGS = {
    "ddpm": (DDPM, (32, 32)),
    "scale-shift": (SCALE_SHIFT, (28, 20)),
    "classes": (CLASSES, (16, 24)),
}


def randomise(network: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        table = name.startswith("class_embedding")
        scale = 1.0 if table else tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.3
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)


def reference(config: dict[str, Any]) -> Any:
    diffusers = pytest.importorskip("diffusers")
    model = diffusers.UNet2DModel(**config).eval()
    randomise(model)
    return model


def inputs(config: dict[str, Any], size: tuple[int, int]) -> tuple[Tensor, Tensor, Context]:
    x = torch.randn(2, config["in_channels"], *size, generator=torch.Generator().manual_seed(1))
    classes = config.get("num_class_embeds")
    vector = torch.eye(classes)[[1, 3]] if classes else None
    return x, torch.tensor([3.0, 871.0]), Context(vector=vector)


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.std() > 0.1
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_the_same_weights_compute_the_same(name: str) -> None:
    config, size = CONFIGS[name]
    model, given = reference(config), inputs(config, size)
    assert_same(unet_from_diffusers(model)(*given), DiffusersNetwork(model)(*given))


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_there_and_back(name: str) -> None:
    config, size = CONFIGS[name]
    model, given = reference(config), inputs(config, size)
    unet = unet_from_diffusers(model)
    state, written = unet_to_diffusers(unet)
    again = type(model)(**{k: v for k, v in written.items() if not k.startswith("_")}).eval()
    again.load_state_dict(state)
    assert_same(DiffusersNetwork(again)(*given), DiffusersNetwork(model)(*given))
    if not config.get("flip_sin_to_cos", True):
        assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert torch.equal(unet_from_diffusers(state, written)(*given), unet(*given))


@torch.no_grad()
def test_what_counts_in_diffusers_counts_here() -> None:
    """Were the label or the class lost on both sides, the outputs would still agree."""
    model, (x, label, context) = reference(CLASSES), inputs(CLASSES, (16, 24))
    for network in (DiffusersNetwork(model), unet_from_diffusers(model)):
        out = network(x, label, context)
        assert (network(x, label + 50, context) - out).norm() > 1e-2 * out.norm()
        assert (
            network(x, label, Context(vector=torch.eye(5)[[0, 4]])) - out
        ).norm() > 1e-2 * out.norm()


@torch.no_grad()
def test_folders_go_both_ways(tmp_path: Path) -> None:
    model, given = reference(SCALE_SHIFT), inputs(SCALE_SHIFT, (28, 20))
    model.save_pretrained(tmp_path / "theirs")
    ours = load_diffusers(tmp_path / "theirs")
    save_diffusers(ours, tmp_path / "pipeline" / "unet", sample_size=28)
    (tmp_path / "pipeline" / "model_index.json").write_text("{}")
    back = type(model).from_pretrained(tmp_path / "pipeline" / "unet")
    assert back.config.sample_size == 28
    assert_same(DiffusersNetwork(back)(*given), DiffusersNetwork(model)(*given))
    assert torch.equal(load_diffusers(tmp_path / "pipeline")(*given), ours(*given))


# Below, diffusers is not needed.

OURS: dict[str, Any] = {
    "channels": 8,
    "multipliers": (1, 2),
    "blocks": 1,
    "groups": 4,
    "vector_width": 3,
    "head_dim": 8,
}


@pytest.mark.parametrize("modulation", ["add", "scale-shift"])
@torch.no_grad()
def test_ours_survive_a_folder_exactly(tmp_path: Path, modulation: str) -> None:
    unet = UNet(
        1, 2, **OURS, modulation=modulation, downsample_padding=0, norm_eps=1e-4, embedding_shift=0
    ).eval()
    randomise(unet)
    save_diffusers(unet, tmp_path)
    x, vector = torch.randn(2, 1, 9, 7), torch.randn(2, 3)
    given = x, torch.tensor([1.0, 500.0]), Context(vector=vector)
    assert torch.equal(load_diffusers(tmp_path)(*given), unet(*given))


def test_old_attention_names_are_read() -> None:
    state, config = unet_to_diffusers(UNet(1, 1, **OURS))
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    renamed = dict(state)
    for new, name in old.items():
        renamed = {key.replace(new, name): value for key, value in renamed.items()}
    assert renamed.keys() != state.keys()
    again, _ = unet_to_diffusers(unet_from_diffusers(renamed, config))
    assert all(torch.equal(again[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_embedding_type": "fourier"}, "time_embedding_type"),
        ({"act_fn": "gelu"}, "act_fn"),
        ({"block_out_channels": (8, 12)}, "multiples of the first"),
        ({"up_block_types": ("UpBlock2D", "AttnUpBlock2D")}, "mirrored"),
        ({"resnet_time_scale_shift": "spatial"}, "resnet_time_scale_shift"),
        ({"attn_norm_num_groups": None}, "attn_norm_num_groups"),
        ({"layers_per_block": 2}, "have no"),
        ({"num_class_embeds": None}, "does not ask for"),
        ({"in_channels": 2}, "conv_in"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    save_diffusers(UNet(1, 1, **OURS), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match=message):
        load_diffusers(tmp_path)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for options in ({"dims": 3}, {"patch": 2}, {"coordinates": True}, {"detail": 0.1}):
        with pytest.raises(InputError, match="cannot be written"):
            unet_to_diffusers(UNet(1, 1, **{**OURS, **options}))
    with pytest.raises(InputError, match="does not exist"):
        load_diffusers(tmp_path)
    with pytest.raises(InputError, match=r"config\.json"):
        unet_from_diffusers({})
    with pytest.raises(InputError, match="no tokens"):
        DiffusersNetwork(nn.Identity())(
            torch.zeros(1, 1, 4, 4), torch.zeros(1), Context(tokens=torch.zeros(1, 2, 3))
        )
