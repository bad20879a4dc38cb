"""``unfog demo``: all its steps, from an empty folder to a report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import unfog
from unfog.data.dataset import open_dataset
from unfog.demo import report
from unfog.demo.figure import lead_figure, row_of
from unfog.demo.live import Live, train_live
from unfog.demo.prior import Drawn, draw_new, forward_strip, reverse_strip
from unfog.demo.restore import Outcome, calibrate, restore_slab, seconds_of
from unfog.demo.tasks import Slab, Task, tasks
from unfog.demo.terminal import Show
from unfog.demo.words import Worded, draw_words
from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.folder import new_folder
from unfog.files.output import write_bytes, write_image, write_json, write_text
from unfog.report import grey, mosaic
from unfog.report.pictures import shown
from unfog.runs.machine import AUTO
from unfog.runs.run import Run
from unfog.runs.sample import Plan

PRIOR = "t1-slices"
# A lower largest noise level than that of ``runs.restore``, for speed; it costs about .2 dB in
# stripes.
GRID = {"name": "karras", "sigma_max": 3.0}
SUMMARY, MADE_BY = "summary.json", "unfog demo"


@dataclass(frozen=True)
class Size:
    """How much the demo does.

    Args:
        live_steps: Steps of the live training.
        patience: Seconds after which it stops all the same.
        live_samples: Samples drawn at each moment of it.
        new_slices: Slices drawn from the shipped prior.
        words: Pictures drawn by words.
        slices: Slices of the test slab that are restored.
        calibration: Slices of the validation slab by which intervals are scaled.
        samples: The most a task may draw of one slice.
        seconds: That a task may draw for; it draws as many samples as go into them, 8 at least.
        steps: Sampler steps of a restoration.
    """

    live_steps: int
    patience: float
    live_samples: int
    new_slices: int
    words: int
    slices: int
    calibration: int
    samples: int
    seconds: float
    steps: int


FULL = Size(
    live_steps=240,
    patience=200,
    live_samples=8,
    new_slices=16,
    words=16,
    slices=5,
    calibration=2,
    samples=24,
    seconds=170,
    steps=16,
)
QUICK = Size(
    live_steps=80,
    patience=100,
    live_samples=4,
    new_slices=4,
    words=8,
    slices=2,
    calibration=1,
    samples=8,
    seconds=0,
    steps=16,
)
LEAST = 8  # samples of a task


def run_demo(
    out: Path, quick: bool = False, prior: str | Path = PRIOR, show: Show | None = None
) -> dict[str, Any]:
    """Train, sample and restore on built-in data, and write a report of it.

    Args:
        out: The folder; one that an earlier demo wrote is replaced.
        quick: Whether the smallest settings are taken.
        prior: A run's folder, or the name of a shipped prior.
        show: Where progress and pictures are shown; by default on standard error.

    Returns:
        The path of the report, and the summary that is written beside it.

    Raises:
        InputError: The folder holds files that no demo wrote.
    """
    begun = time.perf_counter()
    size = QUICK if quick else FULL
    show = show or Show()
    earlier = _is_demo(out)
    run = Run.open(prior).in_precision(AUTO)
    slab = Slab.of("test", size.slices)
    if earlier:
        shutil.rmtree(out)
    with new_folder(out) as folder:
        live = train_live(folder / "live", size.live_steps, size.patience, size.live_samples, show)
        drawn = _new_slices(run, size, show)
        worded = _words(size, show)
        outcomes = _restore_all(run, slab, size, folder, show)
        summary = _summary(run, live, drawn, outcomes, quick)
        summary["words"] = list(worded.prompts)
        summary["seconds"] = round(time.perf_counter() - begun, 1)
        forward, reverse = forward_strip(run, slab.x[:1]), reverse_strip(run, Plan.of(run))
        page = report.build(forward, reverse, live, drawn, worded, slab, outcomes, _facts(summary))
        write_text(folder / "report.html", page.html())
        write_bytes(folder / "figure.png", lead_figure(outcomes, slab.x, drawn.samples))
        write_image(folder / "samples.png", mosaic([[grey(x[0]) for x in drawn.samples]]))
        files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        write_json(folder / SUMMARY, {**summary, "files": [*files, SUMMARY]})
    show.say(f"The report is {out / 'report.html'}.")
    return {"report": str(out / "report.html"), **summary}


def _new_slices(run: Run, size: Size, show: Show) -> Drawn:
    """New slices of the prior, compared with its training slices."""
    training = open_dataset(run.config["data"])
    with show.stage(f"drawing {size.new_slices} new slices") as progress:
        drawn = draw_new(run, Plan.of(run), size.new_slices, training, 0, progress)
    show.pictures([grey(x[0]) for x in drawn.samples[:8]])
    return drawn


def _words(size: Size, show: Show) -> Worded:
    """Pictures of the shipped text-to-image prior."""
    with show.stage(f"drawing {size.words} pictures by words") as progress:
        worded = draw_words(size.words, progress)
    show.pictures([shown(x) for x in worded.pictures[:8]])
    return worded


def _restore_all(run: Run, slab: Slab, size: Size, folder: Path, show: Show) -> list[Outcome]:
    """The outcome of each task on the slab, with intervals scaled."""
    plan = Plan.of(run, steps=size.steps, grid=GRID)
    outcomes = []
    for task in tasks(slab):
        samples = affordable(run, task, slab, size, plan)
        scale = _interval_scale(run, task, size, plan, show)
        with show.stage(f"{task.title}: {samples} samples of {size.slices} slices") as progress:
            outcome = restore_slab(
                run, task, slab, scale, samples, plan, folder / task.name, progress
            )
        show.pictures(row_of(outcome, slab.x, len(slab.x) // 2))
        show.say(
            f"  {outcome.gain:+.2f} dB over {outcome.best.name}, {100 * outcome.covered:.0f} % "
            "within the 90 % intervals"
        )
        outcomes.append(outcome)
    return outcomes


def affordable(run: Run, task: Task, slab: Slab, size: Size, plan: Plan) -> int:
    """How many samples a task draws: as many as go into its seconds on this machine, measured on
    one slice and few steps, and never fewer than ``LEAST``.

    Args:
        run: The prior.
        task: The task.
        slab: The slices to restore.
        size: How much the demo does.
        plan: Sampler and times of the restoration.
    """
    most = min(task.samples, size.samples)
    if most <= LEAST:
        return most
    few = Plan.of(run, steps=2, grid=GRID)
    each = seconds_of(run, task, slab.x[:1], few)
    return int(min(most, max(LEAST, size.seconds / (each * size.slices * (len(plan.grid) - 1)))))


def _interval_scale(run: Run, task: Task, size: Size, plan: Plan, show: Show) -> float:
    """The factor on the standard deviation: the one on the prior's card, or else the one by which
    intervals cover the validation slab.
    """
    stated = run.card.get("interval_scale", {}).get(task.name)
    if stated is not None:
        return float(stated)
    with show.stage(f"{task.title}: scaling the intervals on another slab") as progress:
        slab = Slab.of("validation", size.calibration)
        return calibrate(run, task, slab, min(task.samples, size.samples), plan, progress)


def _summary(
    run: Run, live: Live, drawn: Drawn, outcomes: Sequence[Outcome], quick: bool
) -> dict[str, Any]:
    """The contents of summary.json, but for the seconds and the files."""
    return {
        "made by": MADE_BY,
        "version": unfog.__version__,
        "quick": quick,
        "data": "MNI152 T1, one average brain; scored on a held-out slab of it, inside the brain",
        "prior": run.name,
        "live": {
            "steps": len(live.losses),
            "seconds": round(live.seconds, 1),
            "loss": report.smooth(live.losses)[-1],
        },
        "samples": {
            "count": len(drawn.samples),
            "nearest": float(drawn.distances.mean()),
            "between training slices": drawn.between,
        },
        "tasks": {o.task.name: _figures(o) for o in outcomes},
        "precision": run.precision,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def _figures(outcome: Outcome) -> dict[str, Any]:
    """A task's figures, in the summary."""
    return {
        "baseline": outcome.best.name,
        "baseline parameters": outcome.best.params,
        "baseline psnr": float(outcome.baseline.psnr.mean()),
        "samples": outcome.samples,
        "psnr": float(outcome.ours.psnr.mean()),
        "gain": outcome.gain,
        "baseline ssim": float(outcome.baseline.ssim.mean()),
        "ssim": float(outcome.ours.ssim.mean()),
        "interval coverage": outcome.covered,
        "interval scale": outcome.scale,
        "seconds": round(outcome.seconds, 1),
    }


def _facts(summary: dict[str, Any]) -> dict[str, Any]:
    """The facts at the foot of the report."""
    return {
        "unfog": summary["version"],
        "torch": summary["torch"],
        "threads": summary["threads"],
        "prior": summary["prior"],
        "seed": 0,
        "seconds in all": round(summary["seconds"]),
        "command": "unfog demo --quick" if summary["quick"] else "unfog demo",
    }


def _is_demo(out: Path) -> bool:
    """Whether an earlier demo lies in ``out``; ``InputError`` where there is anything that a demo
    did not write.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    present = {""}  # a file in place of the folder
    if out.is_dir():
        present = {str(p.relative_to(out)) for p in out.rglob("*") if not p.is_dir()}
    if not present <= _written(out / SUMMARY):
        raise InputError(
            f"{out} exists and holds more than an earlier demo; choose another folder with --out."
        )
    return True


def _written(summary: Path) -> set[str]:
    """The files that an earlier demo says it wrote."""
    try:
        content = json_text.read(summary, finite=False)
        return set(content["files"]) if content["made by"] == MADE_BY else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()
