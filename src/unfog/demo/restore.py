"""Restorations of the slab: from a NIfTI file to NIfTI files, scored against the truth inside the
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
    """PSNR (dB) and SSIM of each slice, where the task is scored."""

    psnr: Tensor
    ssim: Tensor

    @classmethod
    def of(cls, x: Tensor, truth: Tensor, region: Tensor) -> Score:
        return cls(psnr(x, truth, region), ssim(x, truth, region))


@dataclass(frozen=True)
class Outcome:
    """A task done: pictures (n, 1, rows, columns), scores, and the interval's coverage with the
    scale it was given.
    """

    task: Task
    measured: Tensor  # on the fine grid, to be shown
    best: Best
    restored: Restored  # std already scaled
    region: Tensor
    ours: Score
    baseline: Score
    untouched: Score
    scale: float
    covered: float
    seconds: float

    @property
    def gain(self) -> float:
        """dB over the best tuned baseline."""
        return float(self.ours.psnr.mean() - self.baseline.psnr.mean())


def calibrate(run: Run, task: Task, slab: Slab, samples: int, plan: Plan, report: Report) -> float:
    """The factor on the standard deviation with which the intervals of another slab cover as much
    as they say.
    """
    restored = _restore(run, task, task.measure(slab.x), samples, plan, report)
    inside = task.region(slab.brain).expand_as(slab.x)
    return conformal_scale((slab.x - restored.mean)[inside], restored.std[inside], LEVEL)


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
    """
    folder.mkdir(parents=True)
    begun = time.perf_counter()
    scan = read_scan(
        _write(folder / "measured.nii.gz", task.measure(slab.x), task.grid(slab.grid)), 2, 1
    )
    y = torch.from_numpy(scan.values)
    restored = _restore(run, task, y, samples, plan, report)
    restored = replace(restored, std=scale * restored.std)
    fine = scan.finer(task.factor) if isinstance(task, Superres) else scan
    for name, stack in (("mean", restored.mean), ("std", restored.std)):
        fine.write(folder, name, stack.numpy())
    if isinstance(task, Inpaint):
        _write(folder / "hole.nii.gz", (~task.keep).float().expand_as(slab.x), slab.grid)
    seconds = time.perf_counter() - begun
    return _score(task, slab, y, restored, scale, seconds)


def _score(
    task: Task, slab: Slab, y: Tensor, restored: Restored, scale: float, seconds: float
) -> Outcome:
    region, best, shown = (
        task.region(slab.brain),
        task.baseline(y, slab),
        task.operator.pseudo_inverse(y),
    )
    classical = torch.from_numpy(np.asarray(best.restored, dtype=np.float32))[:, None]
    ours, baseline, untouched = (
        Score.of(x, slab.x, region) for x in (restored.mean, classical, shown)
    )
    covered = coverage(slab.x, *restored.interval(level=LEVEL), region)
    return Outcome(
        task,
        shown,
        best,
        restored,
        region,
        ours,
        baseline,
        untouched,
        scale,
        float(covered.mean()),
        seconds,
    )


def _restore(run: Run, task: Task, y: Tensor, samples: int, plan: Plan, report: Report) -> Restored:
    return restore(
        run,
        task.prepare(run, y),
        task.operator,
        task.sigma,
        samples=samples,
        plan=plan,
        report=report,
    )


def _write(path: Path, stack: Tensor, grid: Volume) -> Path:
    return write_nifti(path, to_volume(stack.numpy()), grid)
