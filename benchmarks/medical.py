"""Held-out T1 from k-space of 8 coils at 4x and 8x, noise, holes, coarse voxels and blur, and
held-out CT from few views and low dose, beside classical methods and deepinv.

    PYTHONPATH=PEERS python benchmarks/medical.py --out benchmarks/results/medical.json
    PYTHONPATH=PEERS python benchmarks/medical.py --modality ct --out
    benchmarks/results/medical_ct.json PYTHONPATH=PEERS python benchmarks/medical.py --modality
    textures --slices 6 --out benchmarks/results/textures.json

PEERS holds bm3d (with bm4d), pywavelets and deepinv (with einops, natsort, torchmetrics). Every
method sees the same measurements. Classical methods have their parameters chosen on the truth of
the very slices they are scored on, deepinv's on the truth of the first slice; ours has none.
Samplers draw from the same prior, in bfloat16, with the same number of network calls; ours also
multiplies by the network's Jacobian, as DPS does once a call, and these products are counted apart.
Intervals are Student's of the draws, and those with a factor learned on the validation slab. One
subject: the slab is held out, no subject is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import classical
import deepinv_peer
import numpy as np
import skimage
import torch
from record import write_record
from scipy.ndimage import binary_fill_holes
from torch import Tensor

import unfog
from unfog.core.denoiser import Denoiser, InBfloat16, Posterior
from unfog.core.random import generators, normal
from unfog.data.builtin.head_ct import MATTER, HeadCT
from unfog.data.builtin.mni import MniT1
from unfog.data.builtin.textures import Textures
from unfog.demo.main import GRID
from unfog.evaluation.conformal import LEVEL, conformal_scale, student_scale
from unfog.evaluation.images import coverage, psnr, ssim
from unfog.physics.blur import Blur, gaussian_kernel
from unfog.physics.coils import birdcage
from unfog.physics.exposure import Gain
from unfog.physics.fourier import Coils, ComplexOf, Fourier
from unfog.physics.kspace_masks import random_lines
from unfog.physics.linear import Operator
from unfog.physics.operators import BlockAverage, Identity, Mask
from unfog.physics.radon import ParallelBeam
from unfog.runs.restore import Restored, restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan

COILS, LONGEST = 8, 30.0  # the sum along a ray through the middle of a head, in pixels times units


@dataclass(frozen=True)
class Task:
    """A measurement of slices in [0, 1], with white noise of deviation ``sigma``."""

    operator: Operator
    sigma: float

    def measure(self, x: Tensor, seed: int) -> Tensor:
        y = self.operator(x)
        noise = self.sigma * normal(y.shape, generators(seed, range(len(y)), "medical"))
        return y + (
            self.operator(noise)
            if isinstance(self.operator, Mask)
            else noise * (y.abs().amax(0, keepdim=True) > 0)
        )


def ct_tasks(rows: int, columns: int) -> dict[str, Task]:
    def parallel(views: int, noise: float) -> Task:
        beams = ParallelBeam(torch.arange(views, dtype=torch.float64) * (180 / views), rows)
        size = classical.norm(
            beams, torch.zeros(1, 1, rows, columns)
        )  # methods with step sizes of their own want a norm of 1
        return Task(Gain(1 / size) @ beams, noise * LONGEST / size)

    return {
        "CT, 30 views": parallel(30, 0.01),
        "CT, 60 views": parallel(60, 0.01),
        "CT, low dose": parallel(90, 0.06),
    }


def mri_tasks(rows: int, columns: int) -> dict[str, Task]:
    coils = Fourier() @ Coils(birdcage(COILS, (rows, columns)).to(torch.complex64)) @ ComplexOf()
    stripes = (torch.arange(rows) % 10 >= 4)[:, None].expand(rows, columns)[None, None]
    return {
        "k-space 4x": Task(Mask(random_lines(rows, columns, 4, 8)) @ coils, 0.02),
        "k-space 8x": Task(Mask(random_lines(rows, columns, 8, 6)) @ coils, 0.02),
        "denoising": Task(Identity(), 0.08),
        "inpainting": Task(Mask(stripes), 0.01),
        "super-resolution 4x": Task(BlockAverage(4), 0.01),
        "deblurring": Task(Blur(gaussian_kernel(1.5)), 0.02),
    }


def texture_tasks(rows: int, columns: int) -> dict[str, Task]:
    same = mri_tasks(rows, columns)
    return {
        "denoising": Task(Identity(), 0.1),
        "inpainting": same["inpainting"],
        "super-resolution 2x": Task(BlockAverage(2), 0.01),
        "deblurring": same["deblurring"],
    }


class Counted(Denoiser):
    """A denoiser that counts its calls and the products with its Jacobian."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.process, self.calls, self.products = denoiser, denoiser.process, 0, 0

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        self.calls += 1
        found: Posterior = self.denoiser(x_t, t, **condition)
        return found

    def with_covariance(self, x_t: Tensor, t: Tensor, **condition: Any) -> Any:
        mean, product = super().with_covariance(x_t, t, **condition)

        def counted(v: Tensor) -> Tensor:
            self.products += 1
            return product(v)

        return mean, counted


def ours(run: Run, task: Task, y: Tensor, samples: int, plan: Plan) -> tuple[Restored, Counted]:
    """What ``unfog restore`` does: exact where the image itself is measured, its mean in one more
    call, else MMPS.
    """
    prior = Counted(InBfloat16(run.denoiser))
    return restore(
        replace(run, denoiser=prior),
        y,
        task.operator,
        task.sigma,
        samples=samples,
        plan=plan,
        batch=64,
    ), prior


def figures(x: Tensor, truth: Tensor, brain: Tensor, seconds: float, **more: Any) -> dict[str, Any]:
    x = x.clamp(0, 1)
    return {
        "psnr": float(psnr(x, truth, brain).mean()),
        "ssim": float(ssim(x, truth, brain).mean()),
        "seconds a slice": round(seconds / len(x), 2),
        **more,
    }


def drawn_figures(
    draw: Callable[[Tensor], Restored], held: Slab, other: Slab, task: Task
) -> dict[str, Any]:
    """Figures of a sampler: of its mean, and of its intervals as they are and with a factor of the
    validation slab.
    """
    begun = time.process_time()
    restored = draw(task.measure(held.x, 1))
    seconds = time.process_time() - begun
    tuning = draw(task.measure(other.x, 2))
    factor = conformal_scale((other.x - tuning.mean)[other.brain], tuning.std[other.brain])
    names = {"covered": student_scale(restored.samples.shape[1]), "covered, calibrated": factor}
    covered = {
        name: float(coverage(held.x, *restored.interval(scale=scale), held.brain).mean())
        for name, scale in names.items()
    }
    return figures(restored.mean, held.x, held.brain, seconds, **covered, factor=factor)


@dataclass(frozen=True)
class Slab:
    """Slices and where the brain (in CT the head) is, (n, 1, rows, columns) both."""

    x: Tensor
    brain: Tensor


def spread(count: int, among: int) -> list[int]:
    return (
        list(np.linspace(0, among - 1, count + 2).round().astype(int)[1:-1])
        if count < among
        else list(range(among))
    )


def mri_slab(split: str, count: int) -> Slab:
    data = MniT1(split)
    ids = spread(count, len(data))
    return Slab(data.batch(ids)["x"], torch.from_numpy(data.brain_mask(ids)))


def ct_slab(split: str, count: int) -> Slab:
    data = HeadCT(split)
    x = data.batch(spread(count, len(data)))["x"]
    return Slab(
        x, torch.from_numpy(np.stack([[binary_fill_holes(one[0])] for one in (x > MATTER).numpy()]))
    )


def texture_slab(split: str, count: int) -> Slab:
    data = Textures(split)
    x = data.batch(spread(count, len(data)))["x"]
    return Slab(x, torch.ones_like(x, dtype=torch.bool))


@dataclass(frozen=True)
class Modality:
    """What is measured of which data, and the prior that goes with it."""

    prior: str
    data: str
    slab: Callable[[str, int], Slab]
    tasks: Callable[[int, int], dict[str, Task]]


MODALITIES = {
    "mri": Modality("t1-slices", "mni-t1 test slab, one average brain", mri_slab, mri_tasks),
    "ct": Modality("head-ct", "head-ct test slab, one head", ct_slab, ct_tasks),
    "textures": Modality(
        "textures", "textures, split test: strips of three photographs", texture_slab, texture_tasks
    ),
}


def classical_figures(task: Task, held: Slab) -> dict[str, Any]:
    """The best of each classical method, tuned on the truth."""
    y, found = task.measure(held.x, 1), {}
    candidates = classical.candidates(
        task.operator, y, task.sigma, isinstance(task.operator, Identity)
    )
    if isinstance(beams := getattr(task.operator, "inner", None), ParallelBeam):
        candidates["filtered back-projection"] = classical.filtered_back_projections(
            y / task.operator.outer.factor, beams.angles
        )
    for name, tries in candidates.items():
        best, count, begun = {"psnr": -np.inf}, 0, time.process_time()
        for params, x in tries:
            count += 1
            scored = figures(x, held.x, held.brain, 0, parameters=params)
            best = scored if scored["psnr"] > best["psnr"] else best
        found[name] = {
            **best,
            "seconds a slice": round((time.process_time() - begun) / count / len(y), 2),
        }
    return found


def peer_figures(
    dinv: Any, run: Run, task: Task, held: Slab, other: Slab, samples: int, calls: int
) -> dict[str, Any]:
    """deepinv's samplers, each with the parameters that are best for two draws of the first
    slice.
    """
    found: dict[str, Any] = {}
    for name, tries in deepinv_peer.samplers(
        dinv,
        model := deepinv_peer.Wrapped(InBfloat16(run.denoiser)),
        task.operator,
        tuple(held.x.shape[2:]),
        task.sigma,
        calls,
    ).items():

        def draw(y: Tensor, count: int, method: Callable[[Tensor], Tensor]) -> Restored:
            torch.manual_seed(0)
            stack = method(y.repeat_interleave(count, 0))
            stack = stack.reshape(len(y), count, *stack.shape[1:]).nan_to_num(0.5).clamp(-1, 2)
            return Restored(stack.mean(1), stack.std(1), stack)

        first = task.measure(held.x, 1)[:1]
        scores = [
            float(psnr(draw(first, 2, m).mean.clamp(0, 1), held.x[:1], held.brain[:1])[0])
            for _, m in tries
        ]
        params, method = tries[int(np.argmax(scores))]
        model.calls = 0
        result = drawn_figures(lambda y, m=method: draw(y, samples, m), held, other, task)
        found[name] = {**result, "calls": model.calls // 2, "parameters": params}
    return {"deepinv DDRM": {"left out": "deepinv knows no SVD of this operator"}, **found}


def evaluate(
    dinv: Any, run: Run, task: Task, held: Slab, other: Slab, samples: int, calls: int
) -> dict[str, Any]:
    # the demo's grid, made for few calls
    plan, count = (Plan.of(run, "ddpm", calls, GRID), Counted(run.denoiser))

    def draw(y: Tensor) -> Restored:
        nonlocal count
        restored, count = ours(run, task, y, samples, plan)
        return restored

    mine = drawn_figures(draw, held, other, task)
    found = {"unfog": {**mine, "calls": count.calls, "products": count.products}}
    theirs = peer_figures(dinv, run, task, held, other, samples, calls) if dinv else {}
    return {**found, **theirs, **classical_figures(task, held)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modality", choices=list(MODALITIES), default="mri")
    parser.add_argument("--prior", help="a run instead of the shipped prior")
    parser.add_argument("--without-deepinv", action="store_true")
    parser.add_argument("--slices", type=int, default=4)
    parser.add_argument("--calibration", type=int, default=2, help="slices of the validation slab")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--tasks", nargs="+", help="some of them, by name")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    modality = MODALITIES[options.modality]
    dinv, run = (
        None if options.without_deepinv else deepinv_peer.load(),
        Run.open(options.prior or modality.prior),
    )
    held, other = (
        modality.slab("test", options.slices),
        modality.slab("validation", options.calibration),
    )
    results: dict[str, Any] = {}
    for name, task in modality.tasks(*held.x.shape[2:]).items():
        if options.tasks and name not in options.tasks:
            continue
        results[name] = {
            "sigma": task.sigma,
            "methods": evaluate(dinv, run, task, held, other, options.samples, options.calls),
        }
        sys.stderr.write(f"{name}: {json.dumps(results[name])}\n")
        known = {
            "data": modality.data,
            "weights_sha256": run.weights_sha256,
            "level": LEVEL,
            "seed": 0,
        }
        facts = {**known, **vars(options), "prior": run.name, "out": None, "results": results}
        write_record(
            facts, (unfog, torch, skimage, *([dinv] if dinv else [])), options.out
        )  # after every task: a long run that is stopped keeps what it has


if __name__ == "__main__":
    main()
