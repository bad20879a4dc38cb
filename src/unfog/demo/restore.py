"""The demo's restorations: from a NIfTI file to NIfTI files, scored against the truth inside the
brain.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unfog.demo.tasks import Inpaint, Slab, Superres, Task
from unfog.evaluation.baselines import Best
from unfog.evaluation.conformal import LEVEL, conformal_scale
from unfog.evaluation.images import coverage, psnr, ssim
from unfog.files.formats import read_scan
from unfog.files.nifti import Volume, write_nifti
from unfog.files.slices import to_volume
from unfog.progress import Report
from unfog.runs.restore import Restored, restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan


@dataclass(frozen=True)
class Score:
    """PSNR and SSIM of each slice, where the task is scored.

    Args:
        psnr: In dB, (n,).
        ssim: (n,).
    """

    psnr: Tensor
    ssim: Tensor

    @classmethod
    def of(cls, x: Tensor, truth: Tensor, region: Tensor) -> Score:
        """Score slices against the truth.

        Args:
            x: (n, 1, rows, columns).
            truth: Of the same shape.
            region: Where they are scored, a mask of the same shape.

        Returns:
            The scores.
        """
        return cls(psnr(x, truth, region), ssim(x, truth, region))


@dataclass(frozen=True)
class Outcome:
    """The restorations of a task, with their scores.

    Args:
        task: The task.
        measured: The measurement on the grid of the truth, (n, 1, rows, columns), to be shown.
        best: The best classical restoration.
        restored: The posterior's mean, samples, and standard deviation times ``scale``.
        region: Where the slices are scored, a mask.
        ours: The scores of the posterior's mean.
        baseline: Those of the best classical restoration.
        untouched: Those of the measurement.
        scale: The factor on the standard deviation.
        covered: The share of the truth within the intervals.
        samples: How many were drawn of each slice.
        seconds: To read, restore and write.
    """

    task: Task
    measured: Tensor
    best: Best
    restored: Restored
    region: Tensor
    ours: Score
    baseline: Score
    untouched: Score
    scale: float
    covered: float
    samples: int
    seconds: float

    @property
    def gain(self) -> float:
        """dB over the best tuned baseline."""
        return float(self.ours.psnr.mean() - self.baseline.psnr.mean())


def calibrate(run: Run, task: Task, slab: Slab, samples: int, plan: Plan, report: Report) -> float:
    """The factor on the standard deviation with which the intervals of a slab cover ``LEVEL`` of
    the truth.

    Args:
        run: The prior.
        task: The task.
        slab: Slices with their truth, other than those to restore.
        samples: Samples of each.
        plan: Sampler and times.
        report: Called with (steps done, steps in all).

    Returns:
        The factor.
    """
    restored = _restore(run, task, task.measure(slab.x), samples, plan, report)
    inside = task.region(slab.brain).expand_as(slab.x)
    return conformal_scale((slab.x - restored.mean)[inside], restored.std[inside], LEVEL)


def seconds_of(run: Run, task: Task, x: Tensor, plan: Plan) -> float:
    """How long one step of one sample of one slice of a task takes.

    Args:
        run: The prior.
        task: The task.
        x: Slices to try it on, (n, 1, rows, columns).
        plan: A sampler with few times.

    Returns:
        The seconds.
    """
    begun, samples = time.perf_counter(), 2
    _restore(run, task, task.measure(x), samples, plan, lambda done, total: None)
    return (time.perf_counter() - begun) / (samples * len(x) * (len(plan.grid) - 1))


def restore_slab(
    run: Run,
    task: Task,
    slab: Slab,
    scale: float,
    samples: int,
    plan: Plan,
    folder: Path,
    report: Report,
) -> Outcome:
    """Write the degraded slab as NIfTI, read it back, restore it, write mean and standard
    deviation, and score.

    Args:
        run: The prior.
        task: The task.
        slab: The slices with their truth.
        scale: The factor on the standard deviation.
        samples: Samples of each slice.
        plan: Sampler and times.
        folder: The new folder of the files.
        report: Called with (steps done, steps in all).

    Returns:
        The restorations and their scores.
    """
    folder.mkdir(parents=True)
    begun = time.perf_counter()
    # The measurement, through a file as a user has it.
    path = _write(folder / "measured.nii.gz", task.measure(slab.x), task.grid(slab.grid))
    scan = read_scan(path, 2, 1)
    y = torch.from_numpy(scan.values)
    restored = _restore(run, task, y, samples, plan, report)
    # The deviation scaled, and the results on the grid of the truth.
    restored = replace(restored, std=scale * restored.std)
    fine = scan.finer(task.factor) if isinstance(task, Superres) else scan
    for name, stack in (("mean", restored.mean), ("std", restored.std)):
        fine.write(folder, name, stack.numpy())
    if isinstance(task, Inpaint):
        _write(folder / "hole.nii.gz", (~task.keep).float().expand_as(slab.x), slab.grid)
    seconds = time.perf_counter() - begun
    return _score(task, slab, y, restored, scale, samples, seconds)


def _score(
    task: Task,
    slab: Slab,
    y: Tensor,
    restored: Restored,
    scale: float,
    samples: int,
    seconds: float,
) -> Outcome:
    """The outcome: baselines, scores and coverage of restorations."""
    region = task.region(slab.brain)
    best = task.baseline(y, slab)
    measured = task.operator.pseudo_inverse(y)
    classical = torch.from_numpy(np.asarray(best.restored, dtype=np.float32))[:, None]
    covered = coverage(slab.x, *restored.interval(level=LEVEL), region)
    return Outcome(
        task=task,
        measured=measured,
        best=best,
        restored=restored,
        region=region,
        ours=Score.of(restored.mean, slab.x, region),
        baseline=Score.of(classical, slab.x, region),
        untouched=Score.of(measured, slab.x, region),
        scale=scale,
        covered=float(covered.mean()),
        samples=samples,
        seconds=seconds,
    )


def _restore(run: Run, task: Task, y: Tensor, samples: int, plan: Plan, report: Report) -> Restored:
    """Mean, deviation and samples of the posterior."""
    gaussian = task.prepare(run, y)
    return restore(
        run, gaussian, task.operator, task.sigma, samples=samples, plan=plan, report=report
    )


def _write(path: Path, stack: Tensor, grid: Volume) -> Path:
    """Write slices (n, 1, rows, columns) as a NIfTI volume on a grid."""
    return write_nifti(path, to_volume(stack.numpy()), grid)
