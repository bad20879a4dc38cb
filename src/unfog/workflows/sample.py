"""``unfog sample``: samples of a run into a new folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.builtin import open_run
from unfog.core.registry import unknown
from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.formats import format_for
from unfog.files.numpy_files import write_array
from unfog.files.scans import Look
from unfog.runs.machine import AUTO
from unfog.runs.run import Run, data_range
from unfog.runs.sample import Plan, draw
from unfog.workflows.masks import read_masks


def sample_run(
    source: str | Path,
    count: int | None,
    out: Path,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    grid: str | None = None,
    seed: int = 0,
    label: int | None = None,
    mask: Path | None = None,
    only: str | None = None,
    guidance: str | float | None = None,
    seamless: bool = False,
    shape: Sequence[int] | None = None,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Draw samples into a new folder, in the format of the run's data, and as samples.npy.

    Args:
        source: A run's folder, or the name of a shipped prior.
        count: How many samples, of each mask where there are masks; 16, or 1 for each mask, by
            default.
        out: The new folder.
        sampler: A sampler by name; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        grid: A grid of times by name; the run's own by default.
        seed: Sample k depends on (seed, k) alone.
        label: The class, of a run that was trained with classes.
        mask: A file of masks, of a run that was trained with masks.
        only: The classes of the masks that are asked for, such as "1,2"; all by default.
        guidance: Scale of classifier-free guidance, or a scale for each condition, such as
            "mask=2,class=1.5".
        seamless: Whether samples go on at the opposite border.
        shape: The size of a sample along its axes of space; the run's own by default.
        precision: Of the network: "bf16", "fp32", or "auto", the faster one here.

    Returns:
        The summary that is written there too.
    """
    with job(out) as work:
        run = open_run(source, precision)
        plan = Plan.of(run, sampler, steps, grid)
        masks = None if mask is None else read_masks(run, mask, only)
        _check(run, label, mask, only, guidance, seamless)
        count = (16 if masks is None else 1) if count is None else count
        total = count * (1 if masks is None else len(masks.labels))
        condition = {
            **_classes(run, label, total),
            **({} if masks is None else masks.condition(count)),
        }
        scales = None if guidance is None else stated_scales(run, guidance, condition)
        folder = work.folder
        x = draw(
            run,
            plan,
            range(total),
            seed,
            condition=condition,
            guidance=scales,
            seamless=seamless,
            shape=_shape(run, shape),
            report=work.progress("sampling"),
        )
        write_array(folder / "samples.npy", x.numpy())
        low, high = data_range(run)
        look = Look(low, high, _voxel(run))
        form = format_for(x.shape[1:], run.config.get("format"))
        form.write(folder, x.numpy(), look)
        if masks is not None:
            masks.write(folder, form, look, count)
        options = {
            "class": label,
            "mask": None if mask is None else mask.name,
            "only": only,
            "guidance": scales,
            "seamless": seamless or None,
            "shape": None if shape is None else list(shape),
        }
        summary = {
            "run": run.name,
            "samples": total,
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


def _check(
    run: Run,
    label: int | None,
    mask: Path | None,
    only: str | None,
    guidance: str | float | None,
    seamless: bool,
) -> None:
    """``InputError`` for options that mean nothing to the run or to each other."""
    if only is not None and mask is None:
        raise InputError("--only chooses among the classes of a mask; give --mask too.")
    if seamless and mask is not None:
        raise InputError("A mask has borders and does not tile; leave --seamless or --mask out.")
    if guidance is None or label is not None or mask is not None:
        return
    kinds = {part["name"] for part in (run.config.get("conditions") or {}).values()}
    if not kinds & {"class", "mask"}:
        raise InputError(
            f"The run {run.name} was trained without classes; leave --class and --guidance out."
        )
    ways = " or ".join(f"--{kind}" for kind in ("class", "mask") if kind in kinds)
    raise InputError(f"Guidance needs something to guide towards; give {ways} too.")


def stated_scales(
    run: Run, text: str | float, condition: Mapping[str, Any]
) -> float | dict[str, float]:
    """The guidance that a user states: one number, or "name=number" with commas between them.

    Args:
        run: The model; its conditions are named by their names or kinds, such as class and mask.
        text: What the user wrote.
        condition: What the samples show, by name.

    Returns:
        The scale; or scales by name, in the order in which the run has its conditions.

    Raises:
        InputError: A name is none of the conditions given, or a scale is no number.
    """
    names: dict[str, str] = {}
    for name, part in (run.config.get("conditions") or {}).items():
        if name in condition:
            names |= {name: name, part["name"]: name}
    scales: dict[str, float] = {}
    for item in str(text).split(","):
        name, equals, number = item.rpartition("=")
        try:
            scale = float(number)
        except ValueError:
            scale = math.nan
        if not math.isfinite(scale) or (not equals and "," in str(text)):
            raise InputError(
                f"Guidance is a number, or one for each condition like mask=2,class=1.5, not "
                f"{str(text)!r}."
            )
        if not equals:
            return scale
        if name.strip() not in names:
            raise unknown("condition to guide towards", name.strip(), names)
        scales[names[name.strip()]] = scale
    return {name: scales[name] for name in condition if name in scales}


def _classes(run: Run, label: int | None, count: int) -> dict[str, Tensor]:
    """The condition for one class, of a run that has one condition of classes."""
    if label is None:
        return {}
    names = [
        name
        for name, part in (run.config.get("conditions") or {}).items()
        if part["name"] == "class"
    ]
    if not names:
        raise InputError(
            f"The run {run.name} was trained without classes; leave --class and --guidance out."
        )
    number = run.config["conditions"][names[0]]["count"]
    if not 0 <= label < number:
        raise InputError(f"The run {run.name} has classes 0 to {number - 1}, not {label}.")
    return {names[0]: torch.full((count,), label)}
