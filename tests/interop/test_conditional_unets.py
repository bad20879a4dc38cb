"""U-Nets of Stable Diffusion: diffusers' numbers, stored, are ours, in either layout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.stored import drawn, inputs, stored, text
from torch import Tensor

from unfog.core.conditioning import Context
from unfog.core.conditions import VectorCondition
from unfog.errors import InputError
from unfog.interop.diffusers import unet_to_diffusers
from unfog.interop.diffusers_conditional import (
    conditional_from_diffusers,
    conditional_to_diffusers,
)
from unfog.interop.ldm_unet import PREFIX, unet_from_ldm, unet_to_ldm
from unfog.interop.monai_unet import unet_to_monai
from unfog.interop.vector_map import text_and_sizes
from unfog.networks import TransformerUNet

NAMES = ("sd-1.x", "sd-2.x", "sd-xl")
SMALL: dict[str, Any] = {
    **{"channels": 8, "multipliers": (1, 2), "blocks": 1, "groups": 4},
    **{"depths": (1, 1), "heads": 2},
}
Made = tuple[TransformerUNet, VectorCondition | None, dict[str, Any]]


def ours(name: str, **change: Any) -> tuple[Made, dict[str, Tensor], dict[str, Any]]:
    """Our network with the stored weights, those, and what is stored."""
    held = stored(name)
    state = drawn(held["shapes"])
    made = conditional_from_diffusers(state, {**held["config"], **change})
    made[0].eval()
    return made, state, held


def told(name: str, vector: VectorCondition | None) -> Context:
    """Tokens, and of XL the vector."""
    tokens, pooled, sizes = text(12, 10 if name == "sd-xl" else None)
    context = Context(tokens=tokens)
    if pooled is None:
        return context
    assert vector is not None
    return context.merge(vector.embed(text_and_sizes(pooled, sizes)))


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_their_numbers_are_ours_in_either_layout(name: str) -> None:
    (unet, vector, _), state, held = ours(name)
    x, label = inputs(4, held["sides"])
    context, theirs = told(name, vector), torch.tensor(held["out"])
    out = unet(x, label, context)
    assert theirs.abs().max() > 0.1
    assert (out.flatten() - theirs).abs().max() < 1e-4
    # What counts there counts here.
    other = {"tokens": context.tokens.flip(0), "vector": context.vector}  # type: ignore[union-attr]
    assert (unet(x, label, Context(**other)) - out).abs().max() > 1e-3
    if context.vector is not None:
        moved = Context(tokens=context.tokens, vector=context.vector.flip(0))
        assert (unet(x, label, moved) - out).abs().max() > 1e-3
    # And back, bit for bit.
    linear = "use_linear_projection" in held["config"]
    back, config = conditional_to_diffusers(unet, vector, linear)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], value) for key, value in state.items())
    again = conditional_from_diffusers(back, config)
    assert again[0].heads == unet.heads
    # The same tensors under a single file's names are the same function.
    single = unet_to_ldm(unet, vector, linear)
    assert len(single) == len(state)
    read, its, _ = unet_from_ldm(single, 16 if linear else None, groups=8)
    assert torch.equal(read.eval()(x, label, told(name, its)), out)
    beside = {**single, "cond_stage_model.a": torch.ones(1)}
    assert unet_from_ldm(beside, 16, 8)[0].token_width == 12


PUBLISHED = {
    "1.x": ({"token_width": 768}, 859_520_964, 686),
    "2.x": ({"token_width": 1024, "heads": (5, 10, 20, 20)}, 865_910_724, 686),
    "XL": (
        {
            **{"multipliers": (1, 2, 4), "depths": (0, 2, 10), "middle_depth": 10},
            **{"heads": (5, 10, 20), "token_width": 2048, "vector_width": 1280},
        },
        2_567_463_684,
        1680,
    ),
}
# (name, shape) in the published single files.
TENSORS = {
    "1.x": {
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        "input_blocks.1.1.proj_in.weight": (320, 320, 1, 1),
        "input_blocks.3.0.op.weight": (320, 320, 3, 3),
        "middle_block.1.transformer_blocks.0.ff.net.0.proj.weight": (10240, 1280),
        "output_blocks.2.1.conv.weight": (1280, 1280, 3, 3),
        "output_blocks.5.2.conv.bias": (1280,),
        "output_blocks.11.0.skip_connection.weight": (320, 640, 1, 1),
    },
    "2.x": {"input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024)},
    "XL": {
        "input_blocks.4.1.transformer_blocks.1.attn2.to_v.weight": (640, 2048),
        "middle_block.1.transformer_blocks.9.norm3.weight": (1280,),
        "label_emb.0.0.weight": (1280, 2816),
        "output_blocks.5.2.conv.weight": (640, 640, 3, 3),
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_models_have_their_sizes_and_names(name: str) -> None:
    options, count, tensors = PUBLISHED[name]
    with torch.device("meta"):
        unet = TransformerUNet(4, 4, **options)  # type: ignore[arg-type]
        vector = VectorCondition(2816, 1280, null="zero") if name == "XL" else None
        state = unet_to_ldm(unet, vector, linear=name != "1.x")
    assert len(state) == tensors
    assert sum(value.numel() for value in state.values()) == count
    for key, shape in TENSORS[name].items():
        assert state[PREFIX + key].shape == shape


@pytest.mark.parametrize("single", [False, True])
def test_the_first_three_tensors_that_are_wrong_are_named(single: bool) -> None:
    (unet, _, _), state, held = ours("sd-1.x")
    state = unet_to_ldm(unet, linear=False) if single else state

    def read(changed: dict[str, Tensor]) -> None:
        if single:
            unet_from_ldm(changed, groups=8)
        else:
            conditional_from_diffusers(changed, held["config"])

    middle = sorted(key for key in state if "mid" in key and "attn" in key)
    with pytest.raises(InputError) as refused:
        read({k: v for k, v in state.items() if k not in middle[-5:]})
    assert str(refused.value).count("attn2") == 3
    assert "and 2 more" in str(refused.value)
    extra = PREFIX + "extra" if single else "extra"
    with pytest.raises(InputError, match="besides extra"):
        read({**state, extra: torch.ones(1)})
    with pytest.raises(InputError, match=r"another shape mid\S+ \(3,\)"):
        read({**state, middle[0]: torch.ones(3)})
    with pytest.raises(InputError, match="heads of 24"):
        unet_from_ldm(unet_to_ldm(unet), head_dim=24, groups=8)
    with pytest.raises(InputError, match="have no"):
        unet_from_ldm({"a": torch.ones(1)})


def test_a_layer_of_the_vector_that_is_missing_is_named() -> None:
    held = stored("sd-xl")
    state = drawn(held["shapes"])
    del state["add_embedding.linear_2.bias"]
    with pytest.raises(InputError, match=r"lack add_embedding\.linear_2\.bias"):
        conditional_from_diffusers(state, held["config"])
    gone = {k: v for k, v in state.items() if not k.startswith("add_embedding")}
    with pytest.raises(InputError, match="lack add_embedding"):
        conditional_from_diffusers(gone, held["config"])


@pytest.mark.parametrize(
    "change",
    [
        {"class_embed_type": "timestep"},
        {"addition_embed_type": "text"},
        {"num_attention_heads": 8},
        {"cross_attention_dim": [12, 8, 8]},
        {"transformer_layers_per_block": [[1, 1], 1, 1]},
        {"something_new": 1},
        {"resnet_time_scale_shift": "scale_shift"},
    ],
)
def test_settings_that_are_not_honoured_are_named(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        ours("sd-1.x", **change)


def test_what_other_libraries_have_not_is_not_written() -> None:
    for unfit in ({"token_width": None}, {"depths": (1, 2), "token_width": 4}):
        with pytest.raises(InputError, match="cannot be written"):
            conditional_to_diffusers(TransformerUNet(4, 4, **{**SMALL, **unfit}))
    plain = TransformerUNet(4, 4, **SMALL)
    for write in (unet_to_diffusers, unet_to_monai):
        with pytest.raises(InputError, match="cannot be written"):
            write(plain)


def test_heads_that_do_not_divide_a_level_are_refused() -> None:
    for change, message in (({"heads": 3}, "heads"), ({"depths": (1,)}, "depths")):
        with pytest.raises(InputError, match=message):
            TransformerUNet(4, 4, **{**SMALL, **change})


@torch.no_grad()
def test_transformers_start_as_nothing_and_take_any_grid() -> None:
    unet = TransformerUNet(1, 1, token_width=3, dims=3, **SMALL).eval()
    torch.nn.init.normal_(unet.leave.get_parameter("weight"))
    x, label = torch.randn(1, 1, 4, 5, 6), torch.zeros(1)
    first, second = (unet(x, label, Context(tokens=torch.randn(1, n, 3))) for n in (2, 4))
    assert torch.equal(first, second)
    for module in unet.modules():
        if type(module).__name__ == "SpatialTransformer":
            torch.nn.init.normal_(module.get_submodule("out").get_parameter("weight"))
    third = unet(x, label, Context(tokens=torch.randn(1, 2, 3)))
    assert third.shape == x.shape
    assert (third - first).abs().max() > 1e-3
