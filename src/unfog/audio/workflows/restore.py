"""``unfog restore`` of a sound: read, restored and written window by window."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unfog.audio.mel import MelScale
from unfog.audio.sounds import Sound
from unfog.audio.sounds.files import Writer
from unfog.audio.sounds.sound import Samples
from unfog.audio.windows import Windows, times_for
from unfog.audio.workflows.output import PLAYED, finish, picture_of, sound_page
from unfog.audio.workflows.problem import SoundProblem, sound_problem
from unfog.audio.workflows.room import in_its_room
from unfog.audio.workflows.sample import rate_of
from unfog.errors import InputError
from unfog.files.folder import job
from unfog.posterior.methods import methods
from unfog.progress import Report
from unfog.report import Page, Row
from unfog.runs.machine import AUTO
from unfog.runs.run import Run, require_posterior_mean
from unfog.runs.sample import Plan

LEAD = (
    "A sound restored by a prior of such sounds: the mean of what could have been measured so, and "
    "draws of it. A diffusion model fills in what it has learned."
)
DECIBELS = 20.0  # brightest in the picture of the uncertainty


@dataclass(frozen=True)
class Asked:
    """How a sound is restored.

    Args:
        noise: The noise's deviation, full scale being 1; None to estimate it.
        mask: A sound that is not 0 where there is a gap; None takes rows of zeros for gaps.
        factor: For superres: how many times more bandwidth; None follows from the rates.
        method: A posterior method by name, or "auto".
        samples: Draws, 2 or more.
        sampler: A sampler by name; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        seed: Draw k depends on (seed, k) alone.
        precision: Of the network.
    """

    noise: float | None = None
    mask: Path | None = None
    factor: int | None = None
    method: str = AUTO
    samples: int = 4
    sampler: str | None = None
    steps: int | None = None
    seed: int = 0
    precision: str = AUTO


def restore_sound(
    source: str | Path, path: Path, task: str, out: Path, asked: Asked
) -> dict[str, Any]:
    """Restore a sound into a new folder: mean.wav, std.wav (of floats) and the draws, summary.json
    and a page that plays them. Memory is that of a few windows, whatever the length.

    Args:
        source: A run of sound, of one channel, that is told nothing.
        path: The sound.
        task: One of ``problem.TASKS``.
        out: The new folder.
        asked: How.

    Returns:
        The summary.

    Raises:
        InputError: The file or an option cannot be taken.
    """
    with job(out, path, asked.mask) as work:
        if asked.samples < 2:
            raise InputError(f"A standard deviation needs at least 2 samples, got {asked.samples}.")
        if asked.method != AUTO:
            methods.get(asked.method)
        run = Run.open(source).in_precision(asked.precision)
        rate = _prior_rate(run)
        problem = sound_problem(path, task, rate, asked.noise, asked.mask, asked.factor)
        plan = Plan.of(run, asked.sampler, asked.steps, times_for(problem.damage))
        found: dict[str, float] = {}
        if task == "dereverb":
            problem, found = in_its_room(
                run,
                problem,
                asked.sampler,
                method=asked.method,
                seed=asked.seed,
                report=work.progress("listening to the room"),
            )
        windows = Windows(
            run,
            plan,
            problem.damage,
            problem.sigma,
            problem.factor,
            asked.samples,
            asked.method,
            asked.seed,
        )
        shown = _written(work.folder, windows, problem, work.progress("restoring"))
        summary = {**_summary(run, path, task, asked, problem, rate), **found, **plan.names}
        summary = work.hide(summary)
        return finish(work, _page(shown, summary), summary)


def _summary(
    run: Run, path: Path, task: str, asked: Asked, problem: SoundProblem, rate: int
) -> dict[str, Any]:
    """What is said of a restoration, beside its plan."""
    return {
        "task": task,
        "run": run.name,
        "input": path.name,
        "seconds of sound": problem.frames / problem.given,
        "rate": rate,
        "noise": problem.sigma / problem.gain,
        "noise estimated": asked.noise is None,
        "method": asked.method,
        "draws": asked.samples,
        "seed": asked.seed,
        "precision": run.precision,
        "warnings": problem.notes,
    }


def _prior_rate(run: Run) -> int:
    """The rate of a prior; ``InputError`` for a run that cannot restore."""
    rate = rate_of(run)
    require_posterior_mean(run)
    if not run.codec.affine or run.shape[0] != 1 or run.config.get("conditions"):
        raise InputError(
            f"{run.name} is no prior of mono samples that is told nothing; train sound-prior."
        )
    return rate


@dataclass(frozen=True)
class Shown:
    """The first seconds of what a page plays."""

    before: Sound
    mean: Sound
    draws: list[Sound]


def _written(folder: Path, windows: Windows, problem: SoundProblem, report: Report) -> Shown:
    """Restore into files, piece by piece; what the page shows."""
    means, drawn = list[Samples](), list[Samples]()
    done, most = 0, round(PLAYED * problem.rate)
    names = ["mean", "std", *(f"sample-{k:02d}" for k in range(windows.samples))]
    with ExitStack() as stack:
        files = [stack.enter_context(_writer(folder, name, problem)) for name in names]
        for mean, draws in windows.restored(problem.blocks(), problem.measured):
            parts = [part / problem.gain for part in (mean, draws.std(0), *draws)]
            for file, part in zip(files, parts, strict=True):
                file(part.numpy())
            if done < most:
                means.append(parts[0].numpy())
                drawn.append(torch.stack(parts[2:]).numpy())
            done += mean.shape[-1]
            report(done, problem.measured * problem.factor)
    draws_shown = np.concatenate(drawn, -1)[..., :most]
    start = _first(problem, round(PLAYED * problem.before))
    return Shown(
        Sound(start, problem.before),
        Sound(np.concatenate(means, -1)[..., :most], problem.rate),
        [Sound(one, problem.rate) for one in draws_shown],
    )


def _writer(folder: Path, name: str, problem: SoundProblem) -> Writer:
    """A file of results: the samples stored as the input's where that loses nothing, a deviation as
    floats.
    """
    whole = problem.subtype.startswith("PCM") and name != "std"
    subtype = problem.subtype if whole else "FLOAT"
    return Writer(folder / f"{name}.wav", problem.rate, problem.channels, subtype)


def _first(problem: SoundProblem, frames: int) -> Samples:
    """The first frames of the input, in its own values."""
    parts, left = list[Samples](), frames
    for block in problem.blocks():
        parts.append(block[:, :left] / np.float32(problem.gain))
        left -= block.shape[1]
        if left <= 0:
            break
    return np.concatenate(parts, 1)


def _page(shown: Shown, summary: dict[str, Any]) -> Page:
    """Players before and after, spectrograms, and the uncertainty as one."""
    sounds = [("before", shown.before), ("after: the mean", shown.mean)]
    sounds += [(f"a draw, {k + 1}", one) for k, one in enumerate(shown.draws[:2])]
    page = sound_page("unfog restore: a sound", LEAD, sounds, summary)
    if summary["warnings"]:
        page.warning("What to know about this file", *summary["warnings"])
    scale = MelScale(shown.mean.rate)
    mels = torch.stack([scale.log_mel(torch.from_numpy(d.samples.mean(0))) for d in shown.draws])
    page.section("Uncertainty")
    page.pictures(
        [Row("deviation", [picture_of(100 * mels.std(0), 0.0, DECIBELS)])],
        f"The deviation of the draws' spectrograms, 0 to {DECIBELS:g} dB.",
        largest=640,
    )
    return page
