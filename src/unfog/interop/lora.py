"""Low-rank changes of weights (LoRA, Hu et al. 2022) as files of others hold them: in the layouts
of peft and diffusers, of older diffusers, and of kohya's scripts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.weight_files import Header, read_header

UNET, TEXT, TEXT_2 = "unet", "text_encoder", "text_encoder_2"
SHOWN = 3  # names in a message
# How a tensor's name ends: down, up, or the number alpha.
_ENDS = (
    (r"\.lora_A\.(?:\w+\.)?weight$", "down"),
    (r"\.lora_B\.(?:\w+\.)?weight$", "up"),
    (r"(?:\.lora_linear_layer|[._]lora)\.(down|up)\.weight$", ""),
    (r"\.lora_(down|up)\.weight$", ""),
    (r"\.alpha$", "alpha"),
)
# How it begins: the part of the pipeline that it changes. The U-Net is meant where nothing says.
_PARTS = (
    (r"^lora_unet_", UNET),
    (r"^lora_te1?_", TEXT),
    (r"^lora_te2_", TEXT_2),
    (r"^(?:base_model\.model\.)?unet\.", UNET),
    (r"^(?:base_model\.model\.)?text_encoder\.", TEXT),
    (r"^(?:base_model\.model\.)?text_encoder_2\.", TEXT_2),
    (r"^base_model\.model\.", UNET),
    (r"^", UNET),
)
_OLDER = (  # attention of text encoders in older files
    (r"_self_attn_to_([qkv])$", r"_self_attn_\1_proj"),
    (r"_self_attn_to_out$", "_self_attn_out_proj"),
)
METADATA = "lora_adapter_metadata"  # where diffusers keeps what it trained with
TRAINED = "pytorch_lora_weights.safetensors"  # as diffusers calls it


@dataclass(frozen=True)
class LowRank:
    """A change of one matrix or convolution, scale up down.

    Args:
        down: (rank, in), or a convolution (rank, in, height, width).
        up: (out, rank), or a convolution of one point.
        scale: alpha over the rank, 1 where a file says none.
    """

    down: Tensor
    up: Tensor
    scale: float

    def added(self, weight: Tensor, share: float) -> Tensor | None:
        """The weight with ``share`` of the change; None where it does not fit."""
        down, up = self.down.float().flatten(1), self.up.float().flatten(1)
        fits = up.shape[1] == len(down) and len(up) == len(weight)
        if not fits or len(up) * down.shape[1] != weight.numel():
            return None
        change = (up @ down).reshape(weight.shape)
        return weight.float() + share * self.scale * change


@dataclass(frozen=True)
class Lora:
    """A file of changes.

    Args:
        name: Of the file.
        changes: By the part of a pipeline, and the flat name of the weight: dots are underscores.
    """

    name: str
    changes: Mapping[str, Mapping[str, LowRank]]

    def merged(
        self, part: str, weights: Mapping[str, Tensor], share: float, names: Mapping[str, str]
    ) -> dict[str, Tensor]:
        """Weights with ``share`` of the changes.

        Args:
            part: Of the pipeline: unet, text_encoder or text_encoder_2.
            weights: By name.
            share: How much of the change.
            names: Flat names to the weights' names, as of ``flat_names``.

        Returns:
            All weights.

        Raises:
            InputError: A change is of a weight that is not there, or of another shape.
        """
        state, strange = dict(weights), list[str]()
        for flat, change in self.changes.get(part, {}).items():
            name = names.get(flat) or names.get(f"{flat}_0")
            new = None if name is None else change.added(state[name], share)
            if name is None or new is None:
                strange.append(flat)
            else:
                state[name] = new
        if strange:
            more = f" and {len(strange) - SHOWN} more" if len(strange) > SHOWN else ""
            raise InputError(
                f"{self.name} changes {', '.join(strange[:SHOWN])}{more}, which the {part} has "
                "not, or not in that shape; it is of another model."
            )
        return state


def flat_names(weights: Iterable[str]) -> dict[str, str]:
    """The flat name of each weight, without ``.weight``; a text encoder's also with the
    ``text_model`` that it may lack.
    """
    names = {}
    for weight in weights:
        if weight.endswith(".weight"):
            flat = weight.removesuffix(".weight").replace(".", "_")
            names[flat] = names[f"text_model_{flat}"] = weight
            names[flat.removeprefix("text_model_")] = weight
    return names


def lora_file(path: Path) -> Path:
    """The file of a LoRA: the path, or in a folder the one that is called as diffusers calls it."""
    return path / TRAINED if path.is_dir() else path


def read_lora(path: Path) -> Lora:
    """The changes in a file.

    Args:
        path: A .safetensors file; where peft wrote it, its adapter_config.json is read too.

    Returns:
        The changes by part.

    Raises:
        InputError: The file is no LoRA, or is of a kind that is not read, such as DoRA or LoKr.
    """
    if path.suffix != ".safetensors":
        raise InputError(f"{path} is no .safetensors file, and only those of a LoRA are read.")
    header = read_header(path)
    told = _told(path, header)
    pieces: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, value in safetensors.torch.load_file(path).items():
        stem, role = _split(path, key)
        pieces.setdefault(_place(stem), {})[role] = value
    changes: dict[str, dict[str, LowRank]] = {}
    for (part, flat), held in pieces.items():
        if not {"down", "up"} <= held.keys():
            raise InputError(f"{path} has no whole LoRA of {flat}; fetch it again.")
        changes.setdefault(part, {})[flat] = _change(path, flat, held, told.get(part, {}))
    return Lora(path.name, changes)


def _split(path: Path, key: str) -> tuple[str, str]:
    """The weight's name in a tensor's, and what the tensor is of it."""
    for pattern, role in _ENDS:
        match = re.search(pattern, key)
        if match is not None:
            return key[: match.start()], role or match.group(1)
    raise InputError(
        f"{path} holds {key!r}, which is none of a LoRA's matrices down and up and its alpha; "
        "DoRA, LoKr, LoHa and biases are not read."
    )


def _place(stem: str) -> tuple[str, str]:
    """The part that a weight belongs to, and its flat name there."""
    pattern, part = next((p, part) for p, part in _PARTS if re.search(p, stem))
    flat = re.sub(pattern, "", stem).replace(".processor.", ".").replace(".", "_")
    for former, name in _OLDER if part != UNET else ():
        flat = re.sub(former, name, flat)
    return part, flat


def _change(path: Path, flat: str, held: Mapping[str, Tensor], told: Mapping[str, Any]) -> LowRank:
    """One change with its scale."""
    down, up, rank = held["down"], held["up"], len(held["down"])
    if up.ndim < 2 or down.ndim < 2 or any(side != 1 for side in up.shape[2:]):
        raise InputError(f"{path} changes {flat} by other than two matrices; it cannot be read.")
    alpha = float(held["alpha"]) if "alpha" in held else _alpha(flat, rank, told)
    root = math.sqrt(rank) if told.get("use_rslora") and "alpha" not in held else rank
    return LowRank(down, up, alpha / root)


def _alpha(flat: str, rank: int, told: Mapping[str, Any]) -> float:
    """The alpha that a file's settings say; the rank, which scales by 1, where they say none."""
    patterns = told.get("alpha_pattern") or {}
    for name, alpha in patterns.items():
        if re.search(rf"(^|_)({name.replace('.', '_')})$", flat):
            return float(alpha)
    return float(told.get("lora_alpha", rank))


def _told(path: Path, header: Header) -> dict[str, dict[str, Any]]:
    """What a file says of how it was trained, by part."""
    beside = path.with_name("adapter_config.json")
    own = header.metadata.get(METADATA)
    try:
        if own is None:
            told = json_text.read(beside) if beside.is_file() else {}
            told = {f"{UNET}.{key}": value for key, value in told.items()}
        else:
            told = json_text.parse(own, path.name)
        parts: dict[str, dict[str, Any]] = {}
        for key, value in told.items():
            part, _, name = key.partition(".")
            parts.setdefault(part, {})[name] = value
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} says in no JSON how it was trained; fetch it again.") from error
    if any(part.get("use_dora") for part in parts.values()):
        raise InputError(f"{path} is a DoRA, which is not read.")
    return parts


def lora_tensors(
    changes: Mapping[str, tuple[Tensor, Tensor]], alpha: float
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A LoRA of a U-Net in peft's layout, as diffusers writes and reads it.

    Args:
        changes: down (rank, in) and up (out, rank) by the weight's name, without ``.weight``.
        alpha: Over the rank, the factor on the change.

    Returns:
        Tensors by name, and the file's metadata.
    """
    tensors = {}
    for name, (down, up) in changes.items():
        tensors[f"{UNET}.{name}.lora_A.weight"] = down.contiguous()
        tensors[f"{UNET}.{name}.lora_B.weight"] = up.contiguous()
    ranks = {len(down) for down, _ in changes.values()}
    told = {"lora_alpha": alpha, "r": max(ranks), "target_modules": sorted(changes)}
    text = json.dumps({f"{UNET}.{key}": value for key, value in told.items()}, sort_keys=True)
    return tensors, {"format": "pt", METADATA: text}


def parse_lora(text: str) -> tuple[Path, float]:
    """The file and the weight of a ``FILE[:WEIGHT]``; 1 where there is none.

    >>> parse_lora("ink.safetensors:0.7")
    (PosixPath('ink.safetensors'), 0.7)
    """
    file, colon, number = text.rpartition(":")
    try:
        share = float(number) if colon else 1.0
    except ValueError:
        if not Path(file).exists() or Path(text).exists():
            return Path(text), 1.0
        share = math.nan
    if not math.isfinite(share):
        raise InputError(f"The weight of a LoRA is a number, not {number}.")
    return Path(file if colon else text), share


def with_loras(
    part: str,
    weights: Mapping[str, Tensor],
    loras: Sequence[tuple[Lora, float]],
    names: Mapping[str, str],
) -> dict[str, Tensor]:
    """Weights with the changes of several files, each with its share: the arguments of
    ``Lora.merged``.
    """
    state = dict(weights)
    for lora, share in loras:
        state = lora.merged(part, state, share, names)
    return state
