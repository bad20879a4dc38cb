"""``unfog sample`` of a run of clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.folder import job
from unfog.progress import Report
from unfog.runs.machine import AUTO
from unfog.runs.run import Run, data_range
from unfog.runs.sample import Plan
from unfog.video import frame_rate
from unfog.video.clips.clip import ASSUMED
from unfog.video.longer import (
    Filler,
    extended,
    hierarchical,
    require_clips,
    require_frames,
)
from unfog.video.workflows.output import finish, levels, write_clips

LONGER = ("extend", "hierarchy")
TOGETHER = 4  # clips drawn at a time
LEAD = "Clips drawn from noise, each by its number and the seed alone."


def sample_clips(
    source: str | Path,
    count: int | None,
    out: Path,
    *,
    frames: int | None = None,
    fps: float | None = None,
    longer: str = "extend",
    factor: int = 4,
    sampler: str | None = None,
    steps: int | None = None,
    grid: str | None = None,
    seed: int = 0,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Draw clips into a new folder, as MP4, GIF and samples.npy, with a page that plays them.

    Args:
        source: A run's folder.
        count: How many; 8 by default.
        out: The new folder.
        frames: Of a clip; the run's own number by default. More are made a window at a time.
        fps: Frames a second; 8 by default.
        longer: How clips longer than the run's are made: "extend" goes on after the last frames,
            "hierarchy" draws every ``factor``-th frame first and then what lies between.
        factor: Of the hierarchy.
        sampler: A sampler by name; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        grid: A grid of times by name; the run's own by default.
        seed: Clip k depends on (seed, k) alone.
        precision: Of the network: "bf16", "fp32", or "auto", the faster one here.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: The run is none of clips, or an option is out of range.
    """
    with job(out) as work:
        run = Run.open(source).in_precision(precision)
        require_clips(run)
        length, total = frames or run.shape[1], 8 if count is None else count
        if longer not in LONGER or length < 1:
            raise InputError(
                f"Clips have 1 frame or more and are made longer by {' or '.join(LONGER)}, not "
                f"{length} by {longer!r}."
            )
        plan = Plan.of(run, sampler, steps, grid)
        told = frame_rate.NAME in run.denoiser.conditioner.parts
        rate = ASSUMED if fps is None else fps
        filler = Filler.of(run, plan, rate if told else None, seed=seed)
        report = work.progress("sampling")
        parts = list[Tensor]()
        for first in range(0, total, TOGETHER):
            ids = range(first, min(first + TOGETHER, total))
            x = _drawn(run, filler, ids, length, longer, factor, report)
            with torch.no_grad():
                parts.append(run.codec.decode(x))
        x, bounds = torch.cat(parts), data_range(run)
        notes = write_clips(work.folder, "sample", x, bounds, rate)
        summary = {
            "run": run.name,
            "samples": total,
            "frames": length,
            "fps": rate,
            "seed": seed,
            **plan.names,
            **({"longer": longer} if length > run.shape[1] else {}),
            "precision": run.precision,
            "notes": notes,
        }
        shown = [(f"sample {k}", clip) for k, clip in enumerate(levels(x, bounds))]
        return finish(work, shown, rate, summary, LEAD)


def _drawn(
    run: Run,
    filler: Filler,
    ids: range,
    frames: int,
    longer: str,
    factor: int,
    report: Report,
) -> Tensor:
    """Some clips on the model's scale, (clips, channels, frames, rows, columns)."""
    channels, trained, *space = run.latent_shape
    if frames <= trained:
        nothing = torch.zeros(len(ids), channels, frames, *space)
        known = torch.zeros(frames, dtype=torch.bool)
        return filler.window(nothing, known, ids, 0, report)
    require_frames(run)
    if longer == "hierarchy":
        return hierarchical(filler, (channels, *space), frames, factor, ids, report)
    return extended(filler, torch.zeros(len(ids), channels, 0, *space), frames, ids, report=report)
