"""Tasks of heads.py besides denoising: intervals, thick slices, k-space, and a large volume."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from heads_common import case, say, scores, splined, told
from heads_data import heads
from scipy.ndimage import convolve
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from unfog.core.random import generator
from unfog.data.builtin.synthetic_heads import SyntheticHeads
from unfog.evaluation.conformal import conformal_scale
from unfog.physics.fourier import ComplexOf, Fourier
from unfog.physics.linear import Operator
from unfog.physics.noise import add_gaussian
from unfog.physics.operators import Identity, Mask
from unfog.physics.slices import ThickSlices
from unfog.runs.restore import GRID, Restored, restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.workflows.tasks import task_named


def intervals(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """By head, at a noise of .08: the share of voxels inside that 90 % intervals hold, and what
    draws make up: the largest difference of the means of two times four draws, averaged over balls
    of 2 mm, in shares of the range.
    """
    found: dict[str, Any] = {}
    for head in heads():
        truth, noisy = (x[..., :32, :32, :32].contiguous() for x in case(head, 0.08))
        plan = Plan.of(run, "heun", options.steps, GRID)
        drawn = restore(told(run, head), noisy, Identity(), 0.08, samples=8, plan=plan, batch=8)
        low, high = drawn.interval(0.9)
        inside = truth > 0.1
        held = ((truth >= low) & (truth <= high))[inside].float().mean()
        first, last = (drawn.samples[0, part].mean(0)[0] for part in (slice(4), slice(4, None)))
        blob = convolve((first - last).numpy(), ball(2 / head.voxel[0]), mode="nearest")
        found[head.name] = {
            "hold": round(float(held), 3),
            "largest blob": round(float(np.abs(blob).max()), 4),
        }
        say(f"intervals {head.name}", found[head.name])
    return found


def ball(radius: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Weights of a ball that sum to 1, its radius in voxels."""
    n = int(np.ceil(radius))
    away = np.sqrt(sum(axis**2 for axis in np.indices((2 * n + 1,) * 3) - n))
    weights = np.clip(radius - away + 0.5, 0, 1)
    return np.asarray(weights / weights.sum())


def slices(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Planes four times as many as thick slices, noise .01, by head: the mean of eight draws and
    what its intervals hold, and the best of splines of order 1 and 3. The factor on the deviation
    is learned on eight simulated volumes that training has not seen.
    """
    operator, data = ThickSlices(4), SyntheticHeads(split="test", seed=98, count=8, kept=1)
    errors, deviations = [], []
    for k in range(8):
        sample = data.batch([k])
        y = add_gaussian(operator(sample["x"]), 0.01, [generator(0, "simulated slices", k)])
        drawn = by_prior(run.told(voxel=sample["voxel"]), y, operator, 0.01).restored
        errors.append(sample["x"] - drawn.mean)
        deviations.append(drawn.std)
    scale = conformal_scale(torch.cat(errors), torch.cat(deviations))
    found: dict[str, Any] = {"interval_scale": round(scale, 3)}
    say("slices", found)
    for head in heads():
        truth = case(head, 0.08)[0][..., :32, :32, :32].contiguous()
        y = add_gaussian(operator(truth), 0.01, [generator(0, head.name, "slices")])
        splines = [splined(y, order) for order in (1, 3)]
        found[head.name] = {
            "prior": by_prior(told(run, head), y, operator, 0.01).of(truth, scale),
            "spline": max((scores(x, truth) for x in splines), key=lambda one: one["PSNR"]),
        }
        say(f"slices {head.name}", found[head.name])
    return found


@dataclass(frozen=True)
class Drawn:
    """Draws of a posterior, and what they took."""

    restored: Restored
    seconds: float

    def of(self, truth: Tensor, scale: float = 1.0) -> dict[str, float]:
        """PSNR, SSIM, CPU seconds, and the share of voxels inside that 90 % intervals hold."""
        low, high = self.restored.interval(0.9, scale)
        held = ((truth >= low) & (truth <= high))[truth > 0.1].float().mean()
        return {
            **scores(self.restored.mean, truth),
            "90 % intervals hold": round(float(held), 3),
            "CPU seconds": round(self.seconds, 1),
        }


def by_prior(run: Run, y: Tensor, operator: Operator, sigma: float) -> Drawn:
    """Eight draws as ``unfog restore --task slices`` has them."""
    begun = time.process_time()
    method, sampler, steps = task_named("slices").chosen("auto", None, None)
    plan = Plan.of(run, sampler, steps, GRID)
    restored = restore(run, y, operator, sigma, samples=8, plan=plan, batch=8, method=method)
    return Drawn(restored, time.process_time() - begun)


# --- k-space


def kspace(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """A quarter of the lines of k-space in the plane, the middle ones among them, noise .01, by
    head: the prior, zeros in their place, and total variation of the best of five weights.
    """
    found: dict[str, Any] = {}
    lines = torch.zeros(32, dtype=torch.bool)
    lines[[0, 3, 7, 14, 15, 16, 17, 25]] = True
    measured = Mask(lines[None, None, None, :, None].expand(1, 1, 32, 32, 32))
    operator = measured @ Fourier() @ ComplexOf()
    for head in heads():
        truth = case(head, 0.08)[0][..., :32, :32, :32].contiguous()
        y = measured(add_gaussian(operator(truth), 0.01, [generator(0, head.name, "k-space")]))
        zeros = operator.adjoint(y)
        smooth = [varied(y, operator, weight) for weight in (0.003, 0.006, 0.012, 0.025, 0.05)]
        found[head.name] = {
            "prior": by_prior(told(run, head), y, operator, 0.01).of(truth),
            "zeros": scores(zeros, truth),
            "total variation": max((scores(x, truth) for x in smooth), key=lambda x: x["PSNR"]),
        }
        say(f"k-space {head.name}", found[head.name])
    return found


def varied(y: Tensor, operator: Operator, weight: float, steps: int = 60) -> Tensor:
    """The least |y - A x|^2 / 2 + weight TV(x), by proximal gradients with momentum (FISTA); A A*
    has no eigenvalue above 1.
    """
    x = ahead = operator.adjoint(y)
    momentum = 1.0
    for _ in range(steps):
        # A step towards the data, then the proximal map of total variation.
        moved = (ahead + operator.adjoint(y - operator(ahead)))[0, 0].numpy()
        new = torch.from_numpy(denoise_tv_chambolle(moved, weight, max_num_iter=20))[None, None]
        faster = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead, x, momentum = new + (momentum - 1) / faster * (new - x), new, faster
    return x


# --- volume

MEASURE = """
import json, resource, sys, time
from unfog.cli.main import main
begun = time.time()
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"CPU minutes": round((used.ru_utime + used.ru_stime) / 60, 1),
    "minutes": round((time.time() - begun) / 60, 1), "GiB": round(used.ru_maxrss / 2**20, 2)}))
"""


def volume(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Colin's head in a field of 256^3, noise .08: ``unfog restore`` with two draws, from file to
    file in a process of its own.
    """
    head = heads()[0]
    whole = np.zeros((256,) * 3, np.float32)
    corner = [(256 - n) // 2 for n in head.values.shape]
    whole[tuple(slice(c, c + n) for c, n in zip(corner, head.values.shape, strict=True))] = (
        head.values
    )
    noise = np.random.default_rng(0).normal(0, 0.08, whole.shape).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "head.nii.gz"
        nib.save(nib.Nifti1Image(whole + noise, np.eye(4)), file)
        line = ["restore", str(options.prior), str(file), "--task", "denoise", "--noise", "0.08"]
        line += ["--samples", "2", "--steps", "5", "--out", f"{folder}/out"]
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *line], capture_output=True, text=True, check=True
        )
        mean = nib.load(f"{folder}/out/mean.nii.gz").get_fdata(dtype=np.float32)
    inside = whole > 0.1
    error = float(np.square(mean - whole)[inside].mean())
    found = json.loads(done.stdout.strip().splitlines()[-1])
    found["PSNR"] = round(-10 * float(np.log10(error)), 2)
    say("volume", found)
    return {"command": " ".join(["restore", "head", "head.nii.gz", *line[3:-2]]), **found}
