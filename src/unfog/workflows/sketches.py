"""Sketches in files, for ``unfog sample --sketch``: lines that samples follow."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.formats import read_scan
from unfog.runs.run import Run


def sketch_condition(run: Run, path: Path, count: int) -> dict[str, Tensor]:
    """The drawing in a file as the condition of ``count`` samples: 1 on a line, 0 elsewhere. Lines
    are what there is less of: white on black and black on white are read alike.

    Args:
        run: The model, with one condition that is a map (``spatial``).
        path: A picture or an array of one channel on the grid of the run's data.
        count: Samples.

    Returns:
        By the condition's name, (count, 1, *space).

    Raises:
        InputError: The run knows no sketches, the drawing lies on another grid, or is blank.
    """
    sections = run.config.get("conditions") or {}
    name = next((key for key, part in sections.items() if part["name"] == "spatial"), None)
    if name is None:
        raise InputError(f"The run {run.name} was trained without sketches; leave --sketch out.")
    values = torch.from_numpy(read_scan(path, len(run.shape) - 1, 1).values)
    if tuple(values.shape) != (1, 1, *run.shape[1:]):
        given, own = (" x ".join(map(str, s)) for s in (values.shape[2:], run.shape[1:]))
        raise InputError(
            f"{path.name} has {given} points and {run.name} draws {own}; make one sketch on that "
            "grid."
        )
    low, high = float(values.min()), float(values.max())
    if not high > low:
        raise InputError(f"{path.name} is blank; draw lines in it.")
    bright = values > (low + high) / 2
    lines = bright if float(bright.float().mean()) <= 0.5 else ~bright
    return {name: lines.float().expand(count, -1, *run.shape[1:])}
