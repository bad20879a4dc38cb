"""``unfog sample``: samples of a run into a new folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.builtin import open_run
from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.formats import format_for
from unfog.files.numpy_files import write_array
from unfog.files.scans import Look
from unfog.runs.machine import AUTO
from unfog.runs.run import Run, data_range
from unfog.runs.sample import Plan, draw


def sample_run(
    source: str | Path,
    count: int,
    out: Path,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    grid: str | None = None,
    seed: int = 0,
    label: int | None = None,
    guidance: float | None = None,
    seamless: bool = False,
    shape: Sequence[int] | None = None,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Draw samples into a new folder, in the format of the run's data, and as samples.npy.

    Args:
        source: A run's folder, or the name of a shipped prior.
        count: How many samples.
        out: The new folder.
        sampler: A sampler by name; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        grid: A grid of times by name; the run's own by default.
        seed: Sample k depends on (seed, k) alone.
        label: The class, of a run that was trained with classes.
        guidance: Scale of classifier-free guidance towards that class.
        seamless: Whether samples go on at the opposite border.
        shape: The size of a sample along its axes of space; the run's own by default.
        precision: Of the network: "bf16", "fp32", or "auto", the faster one here.

    Returns:
        The summary that is written there too.
    """
    with job(out) as work:
        run = open_run(source, precision)
        plan = Plan.of(run, sampler, steps, grid)
        condition = _classes(run, label, guidance, count)
        folder = work.folder
        x = draw(
            run,
            plan,
            range(count),
            seed,
            condition=condition,
            guidance=guidance,
            seamless=seamless,
            shape=_shape(run, shape),
            report=work.progress("sampling"),
        )
        write_array(folder / "samples.npy", x.numpy())
        low, high = data_range(run)
        look = Look(low, high, _voxel(run))
        format_for(x.shape[1:], run.config.get("format")).write(folder, x.numpy(), look)
        options = {
            "class": label,
            "guidance": guidance,
            "seamless": seamless or None,
            "shape": None if shape is None else list(shape),
        }
        summary = {
            "run": run.name,
            "samples": count,
            "seed": seed,
            **plan.names,
            "precision": run.precision,
            **{name: value for name, value in options.items() if value is not None},
        }
        return work.end(summary)


def _shape(run: Run, space: Sequence[int] | None) -> tuple[int, ...] | None:
    """The shape (channels, *space) of samples of another size than the run's own."""
    if space is None:
        return None
    if len(space) != len(run.shape) - 1 or min(space) < 1:
        raise InputError(
            f"The shape of a sample of {run.name} is {len(run.shape) - 1} numbers above 0, such as "
            f"{','.join(map(str, run.shape[1:]))}, not {','.join(map(str, space))}."
        )
    return run.shape[0], *space


def _voxel(run: Run) -> tuple[float, ...]:
    """The sides of a voxel in mm, as in training; 1 where its data did not say."""
    if "voxel" in run.config:
        return tuple(map(float, run.config["voxel"]))
    return (float(run.config.get("data", {}).get("resolution", 1.0)),) * 3


def _classes(run: Run, label: int | None, guidance: float | None, count: int) -> dict[str, Tensor]:
    """The condition for one class, of a run that has one condition of classes."""
    names = [
        name
        for name, part in (run.config.get("conditions") or {}).items()
        if part["name"] == "class"
    ]
    if (label is not None or guidance is not None) and not names:
        raise InputError(
            f"The run {run.name} was trained without classes; leave --class and --guidance out."
        )
    if label is None:
        if guidance is not None:
            raise InputError("Guidance needs something to guide towards; give --class too.")
        return {}
    number = run.config["conditions"][names[0]]["count"]
    if not 0 <= label < number:
        raise InputError(f"The run {run.name} has classes 0 to {number - 1}, not {label}.")
    return {names[0]: torch.full((count,), label)}
