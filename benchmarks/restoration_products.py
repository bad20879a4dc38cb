"""What products with the prior's Jacobian buy a restoration: the demo's stripes and coarse voxels,
with conjugate gradients stopped earlier or later.

    python benchmarks/restoration_products.py --out benchmarks/results/restoration_products.json

MMPS takes a product for each iteration, every one a backward pass. For each rule (iterations at
most, and the share of the residual that may be left) the same noise is drawn; n slices of the held
out slab. PSNR is of the mean where the task is judged, in dB; covered is the share of truths in 90
% intervals, as they come from the samples; CPU seconds are of the process, the rules in turns.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from record import write_record

import unfog
from unfog.core.denoiser import Denoiser, Product
from unfog.demo.tasks import Inpaint, Slab, Superres, Task
from unfog.evaluation.images import coverage, psnr
from unfog.posterior.mmps import MMPS
from unfog.runs.restore import restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan

RULES = [(8, 0.03), (8, 0.1), (8, 0.2), (8, 0.3), (8, 0.5), (3, 0.03), (2, 0.03), (1, 0.03)]


class Counted(MMPS):
    """MMPS that counts its products."""

    products = 0

    def _correction(self, prior: Product, residual: torch.Tensor) -> torch.Tensor:
        def counted(v: torch.Tensor) -> torch.Tensor:
            Counted.products += 1
            return prior(v)

        return super()._correction(counted, residual)


def restored(
    run: Run, task: Task, slab: Slab, rule: tuple[int, float], samples: int, steps: int
) -> dict[str, float]:
    """The figures of one rule."""
    most, share = rule
    Counted.products, begun = 0, sum(os.times()[:4])
    method = partial(Counted, iterations=most, tolerance=share)
    found = restore(
        run.denoiser, task.operator, task.measure(slab.x), 0.005, method, samples, Plan.of(steps)
    )
    seconds = sum(os.times()[:4]) - begun
    region = task.region(slab.brain).expand_as(slab.x)
    return {
        "PSNR": round(float(psnr(found.mean, slab.x, region).mean()), 3),
        "covered": round(float(coverage(slab.x, *found.interval(level=0.9), region).mean()), 4),
        "products": Counted.products,
        "CPU seconds": round(seconds, 1),
    }
