"""Parity as stored numbers: the output of another library's network on weights that anyone can draw
again, each tensor from its name and shape.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FOLDER = Path(__file__).parents[1] / "interop" / "stored"
TABLES = ("class_embedding", "label_emb")  # looked up, so of deviation 1


def drawn(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Every tensor drawn anew, from its name, so that none is at its initial value."""
    state = {}
    for name, shape in shapes.items():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        values = torch.randn(shape, generator=generator)
        table = name.startswith(TABLES)
        scale = 1.0 if table else values[0].numel() ** -0.5 if len(shape) > 1 else 0.3
        state[name] = values * scale
    return state


def inputs(channels: int, sides: list[int]) -> tuple[Tensor, Tensor]:
    """x (2, channels, *sides) and the numbers of two steps."""
    x = torch.randn(2, channels, *sides, generator=torch.Generator().manual_seed(1))
    return x, torch.tensor([3.0, 871.0])


def text(width: int, pooled: int | None) -> tuple[Tensor, Tensor | None, Tensor]:
    """Tokens (2, 5, width), a pooled state (2, pooled), and two pictures' sizes (2, 6)."""
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randn(2, 5, width, generator=generator)
    state = None if pooled is None else torch.randn(2, pooled, generator=generator)
    sizes = torch.tensor([[512, 640, 0, 16, 512, 512], [1024, 1024, 3, 0, 64, 99]])
    return tokens, state, sizes.float()


def stored(name: str) -> dict[str, Any]:
    """What a library gave: its arguments, the tensors' shapes, the sides of x and the output."""
    held: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return held
