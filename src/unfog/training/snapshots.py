"""Snapshots of the power-function averages, kept for all of training: ``training.posthoc`` makes
averages of other lengths from them.

Saved as checkpoints are, and never pruned:
``snapshots/step-00000500/{average-0.05,average-0.1}.safetensors, state.json, manifest.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files import json_text
from unfog.training import checkpoint as disk

STATE = "state.json"


@dataclass(frozen=True)
class Snapshot:
    """The averages at one step, after so many ``updates``: length -> weights by name."""

    step: int
    updates: int
    averages: Mapping[float, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Stored:
    """One average on disk: the power function of this ``length`` that ended after ``updates``."""

    path: Path
    length: float
    updates: int

    def load(self) -> dict[str, Tensor]:
        """Its weights by name."""
        return safetensors.torch.load_file(self.path)


def _file(length: float) -> str:
    return f"average-{length:g}.safetensors"


def save(run: Path, snapshot: Snapshot) -> Path:
    """Save into ``run``; ``InputError`` when the disk refuses."""
    name = f"step-{snapshot.step:08d}"
    state = {"step": snapshot.step, "updates": snapshot.updates, "lengths": list(snapshot.averages)}
    files = {
        _file(length): disk.to_safetensors(weights) for length, weights in snapshot.averages.items()
    }
    with disk.writing(f"The snapshot {name}"):
        return disk.publish(run, run / "snapshots" / name, {**files, STATE: disk.to_json(state)})


def stored(run: Path) -> list[Stored]:
    """All averages of a run, oldest first, each verified; ``InputError`` for one that is damaged,
    and where there are none.
    """
    averages = []
    for folder in sorted((run / "snapshots").glob("step-*")):
        # Every file as it was written.
        try:
            state = json_text.read(folder / STATE)
            names = [_file(length) for length in state["lengths"]]
            problem = disk.fault(folder, [*names, STATE])
        except (OSError, ValueError, KeyError, TypeError):
            problem = f"{STATE} cannot be read"
        if problem is not None:
            raise InputError(
                f"The snapshot {folder.name} of {run.name} is damaged: {problem}; remove it, and "
                "the others are used."
            )
        averages += [
            Stored(folder / name, length, state["updates"])
            for name, length in zip(names, state["lengths"], strict=True)
        ]
    # Before the first update there is no profile.
    averages = [one for one in averages if one.updates > 0]
    if not averages:
        raise InputError(
            f"{run.name} has no snapshots to make an average from; train with --set "
            "training.snapshot_every=N."
        )
    return averages
