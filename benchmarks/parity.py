"""What all rows of benchmarks/checkpoints.py share: weights drawn anew, and a row of results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.stored import FOLDER, drawn

Row = dict[str, Any]


def redrawn(model: nn.Module) -> dict[str, list[int]]:
    """Draw every tensor of a model anew; the shapes by name."""
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict(drawn(shapes))
    model.eval()
    return shapes


def row(name: str, version: str, theirs: Tensor, ours: Tensor, back: bool) -> Row:
    """A row of results; it fails where the output is too small to say anything."""
    if theirs.std() < 0.05 or theirs.abs().max() < 0.1:
        raise SystemExit(f"{name}: the output's deviation is {float(theirs.std()):.3f}")
    return {
        "network": name,
        "against": version,
        "largest difference": float((theirs - ours).abs().max()),
        "output's deviation": round(float(theirs.std()), 3),
        "written back bit for bit": back,
    }


def same(state: dict[str, Tensor], model: nn.Module) -> bool:
    """Whether a state dictionary is a model's, bit for bit."""
    theirs = model.state_dict()
    return state.keys() == theirs.keys() and all(
        torch.equal(state[k], v) for k, v in theirs.items()
    )


def store(
    name: str, config: Row, shapes: dict[str, list[int]], sides: list[int], out: Tensor
) -> None:
    """Keep a library's numbers for tests that run without it."""
    FOLDER.mkdir(exist_ok=True)
    numbers = [round(v, 6) for v in out.flatten().tolist()]
    held = {"config": config, "sides": sides, "shapes": shapes, "out": numbers}
    (FOLDER / f"{name}.json").write_text(json.dumps(held) + "\n")
