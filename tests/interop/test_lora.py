"""LoRAs in every layout against the product of their matrices, written down here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from support.stored import stored
from torch import Tensor

from unfog.errors import InputError
from unfog.interop.diffusers_conditional import single_file_names
from unfog.interop.lora import flat_names, parse_lora, read_lora, with_loras

BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
SHAPES = {
    f"{BLOCK}.attn1.to_q": (6, 5),
    f"{BLOCK}.attn1.to_out.0": (5, 6),
    "down_blocks.0.attentions.0.proj_in": (5, 4, 1, 1),
    "down_blocks.0.resnets.0.conv1": (4, 3, 3, 3),
}
RANK, ALPHA = 2, 3.0
METADATA = {"unet.lora_alpha": ALPHA, "unet.r": RANK}
Pair = tuple[Tensor, Tensor]


def random(shape: tuple[int, ...], seed: int) -> Tensor:
    """Numbers of deviation 1."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weights() -> dict[str, Tensor]:
    """A network's weights, and a bias that nothing changes."""
    held = {f"{name}.weight": random(shape, k) for k, (name, shape) in enumerate(SHAPES.items())}
    return {**held, "conv_out.bias": torch.ones(3)}


def pairs(seed: int = 9) -> dict[str, Pair]:
    """down and up of each weight."""
    made = {}
    for k, (name, (out, *rest)) in enumerate(SHAPES.items()):
        kernel = (1,) * (len(rest) - 1)
        made[name] = random((RANK, *rest), seed + k), random((out, RANK, *kernel), seed - k)
    return made


def expected(scale: float, changes: dict[str, Pair]) -> dict[str, Tensor]:
    """W + scale sum_r up_or down_ri, in float64."""
    state = {key: value.double() for key, value in weights().items()}
    for name, (down, up) in changes.items():
        product = torch.einsum("ri,or->oi", down.double().flatten(1), up.double().flatten(1))
        key = f"{name}.weight"
        state[key] = state[key] + scale * product.view(state[key].shape)
    return state


def flat(name: str) -> str:
    return name.replace(".", "_")


def peft(change: dict[str, Pair], begin: str = "unet.") -> dict[str, Tensor]:
    ends = ("lora_A.weight", "lora_B.weight")
    return {
        f"{begin}{k}.{e}": v for k, two in change.items() for e, v in zip(ends, two, strict=True)
    }


def kohya(change: dict[str, Pair]) -> dict[str, Tensor]:
    held = {}
    for name, (down, up) in change.items():
        held[f"lora_unet_{flat(name)}.lora_down.weight"] = down
        held[f"lora_unet_{flat(name)}.lora_up.weight"] = up
        held[f"lora_unet_{flat(name)}.alpha"] = torch.tensor(ALPHA)
    return held


def older(change: dict[str, Pair]) -> dict[str, Tensor]:
    """Attention as processors, the rest as layers."""
    held = {}
    for name, two in change.items():
        stem = re.sub(r"\.(to_\w+?)(\.0)?$", r".processor.\1_lora", name)
        stem = stem if "_lora" in stem else f"{name}.lora"
        held |= {f"{stem}.{e}.weight": v for e, v in zip(("down", "up"), two, strict=True)}
    return held


def converted(change: dict[str, Pair]) -> dict[str, Tensor]:
    """As diffusers converts what it trained: attention by the older names, the rest by peft's."""
    held = {}
    for name, two in change.items():
        attention = ".to_" in name
        ends = ("lora.down", "lora.up") if attention else ("lora_A", "lora_B")
        held |= {f"unet.{name}.{e}.weight": v for e, v in zip(ends, two, strict=True)}
    return held


def write(path: Path, state: dict[str, Tensor], told: dict[str, Any] | None = None) -> Path:
    metadata = None if told is None else {"lora_adapter_metadata": json.dumps(told)}
    held = {key: value.contiguous() for key, value in state.items()}
    safetensors.torch.save_file(held, path, metadata)
    return path


@pytest.mark.parametrize(
    ("state", "told", "scale"),
    [
        (peft(pairs()), None, 1.0),
        (peft(pairs()), METADATA, ALPHA / RANK),
        (peft(pairs()), {**METADATA, "unet.use_rslora": True}, ALPHA / RANK**0.5),
        (peft(pairs(), "base_model.model."), None, 1.0),
        (kohya(pairs()), None, ALPHA / RANK),
        (older(pairs()), None, 1.0),
        (converted(pairs()), None, 1.0),
        ({f"unet.{k}": v for k, v in older(pairs()).items()}, None, 1.0),
    ],
)
def test_every_layout_is_the_product_of_its_matrices(
    state: dict[str, Tensor], told: dict[str, Any] | None, scale: float, tmp_path: Path
) -> None:
    lora = read_lora(write(tmp_path / "a.safetensors", state, told))
    merged = with_loras("unet", weights(), [(lora, 0.7)], flat_names(weights()))
    wanted = expected(0.7 * scale, pairs())
    assert merged.keys() == wanted.keys()
    for name, value in wanted.items():
        assert float((merged[name] - value).abs().max()) < 1e-6, name


def test_alphas_of_their_own_and_settings_beside_the_file(tmp_path: Path) -> None:
    told = {**METADATA, "unet.alpha_pattern": {"attn1.to_q": 5.0}}
    file = write(tmp_path / "a.safetensors", peft(pairs()), told)
    held = read_lora(file).changes["unet"]
    assert held[flat(f"{BLOCK}.attn1.to_q")].scale == 5 / RANK
    assert held["down_blocks_0_resnets_0_conv1"].scale == ALPHA / RANK
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8, "r": RANK}))
    file = write(tmp_path / "b.safetensors", peft(pairs(), "base_model.model."))
    assert {change.scale for change in read_lora(file).changes["unet"].values()} == {8 / RANK}


def test_several_are_added_each_with_its_weight(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "a.safetensors", kohya(pairs())),
        write(tmp_path / "b.safetensors", peft(pairs(50))),
    ]
    loras = [(read_lora(file), share) for file, share in zip(files, (0.7, -0.4), strict=True)]
    merged = with_loras("unet", weights(), loras, flat_names(weights()))
    first, second = expected(0.7 * ALPHA / RANK, pairs()), expected(-0.4, pairs(50))
    for name, value in weights().items():
        wanted = first[name] + second[name] - value.double()
        assert float((merged[name] - wanted).abs().max()) < 1e-6


def test_kohya_calls_xls_layers_as_single_files_do() -> None:
    names = single_file_names(stored("sd-xl")["config"])
    inner = "transformer_blocks.0.attn1.to_q.weight"
    for ldm, own in (
        (f"input_blocks.4.1.{inner}", f"down_blocks.1.attentions.0.{inner}"),
        (f"input_blocks.8.1.{inner}", f"down_blocks.2.attentions.1.{inner}"),
        (f"middle_block.1.{inner}", f"mid_block.attentions.0.{inner}"),
        (f"output_blocks.5.1.{inner}", f"up_blocks.1.attentions.2.{inner}"),
        ("input_blocks.1.0.in_layers.2.weight", "down_blocks.0.resnets.0.conv1.weight"),
        ("label_emb.0.2.weight", "add_embedding.linear_2.weight"),
    ):
        assert names[ldm] == own


def test_text_encoders_are_found_by_either_name(tmp_path: Path) -> None:
    layer = "encoder.layers.0.self_attn"
    own = {f"text_model.{layer}.q_proj.weight": torch.zeros(4, 4)}
    down, up = random((RANK, 4), 1), random((4, RANK), 2)
    for begin, part in (
        ("lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_{}", "text_encoder"),
        ("lora_te2_text_model_encoder_layers_0_self_attn_q_proj.lora_{}", "text_encoder_2"),
        (f"text_encoder.{layer}.q_proj.lora_linear_layer.{{}}", "text_encoder"),
        (f"text_encoder.text_model.{layer}.to_q_lora.{{}}", "text_encoder"),
    ):
        state = {f"{begin.format(end)}.weight": v for end, v in (("down", down), ("up", up))}
        lora = read_lora(write(tmp_path / "a.safetensors", state))
        for weight in (own, {k.removeprefix("text_model."): v for k, v in own.items()}):
            (value,) = with_loras(part, weight, [(lora, 1.0)], flat_names(weight)).values()
            assert torch.allclose(value, up @ down, atol=1e-6)


@pytest.mark.parametrize(
    ("state", "told", "says"),
    [
        ({**kohya(pairs()), "lora_unet_a.dora_scale": torch.ones(1)}, None, "DoRA, LoKr"),
        ({"lora_unet_a.lokr_w1": torch.ones(2, 2)}, None, "lora_unet_a.lokr_w1"),
        (peft(pairs()), {"unet.use_dora": True}, "is a DoRA"),
        ({"unet.a.lora_A.weight": torch.ones(2, 2)}, None, "no whole LoRA of a"),
        (peft({"mid.to_q": (torch.ones(2, 5), torch.ones(6, 2))}), None, "changes mid_to_q"),
        (peft({f"{BLOCK}.attn1.to_q": (torch.ones(2, 4), torch.ones(6, 2))}), None, "another mod"),
        (
            peft(
                {"down_blocks.0.resnets.0.conv1": (torch.ones(2, 3, 3, 3), torch.ones(4, 2, 3, 3))}
            ),
            None,
            "other than two matrices",
        ),
    ],
)
def test_what_is_not_read_is_named(
    state: dict[str, Tensor], told: dict[str, Any] | None, says: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "a.safetensors", state, told)
    with pytest.raises(InputError, match=re.escape(says)):
        with_loras("unet", weights(), [(read_lora(file), 1.0)], flat_names(weights()))


def test_a_file_with_its_weight(tmp_path: Path) -> None:
    assert parse_lora("a/ink.safetensors") == (Path("a/ink.safetensors"), 1.0)
    assert parse_lora("ink.safetensors:-0.5") == (Path("ink.safetensors"), -0.5)
    (tmp_path / "ink.safetensors").touch()
    for word in ("abc", "nan", ""):
        with pytest.raises(InputError, match="a number, not"):
            parse_lora(f"{tmp_path}/ink.safetensors:{word}")
    assert parse_lora("C:/ink.safetensors") == (Path("C:/ink.safetensors"), 1.0)
    with pytest.raises(InputError, match="is a number"):
        parse_lora("ink.safetensors:nan")
    with pytest.raises(InputError, match="only those"):
        read_lora(Path("ink.pt"))
