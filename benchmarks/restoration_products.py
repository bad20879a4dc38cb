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
from unfog.core.denoiser import Product
from unfog.demo.tasks import Inpaint, Slab, Superres, Task
from unfog.evaluation.images import coverage, psnr
from unfog.posterior.methods import methods
from unfog.posterior.mmps import MMPS
from unfog.runs.restore import GRID, restore
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
    run: Run, task: Task, slab: Slab, method: str, samples: int, steps: int
) -> dict[str, float]:
    """The figures of one rule."""
    y = task.prepare(run, task.measure(slab.x))
    plan = Plan.of(run, steps=steps, grid=GRID)
    Counted.products, begun = 0, sum(os.times()[:4])
    found = restore(run, y, task.operator, task.sigma, samples=samples, plan=plan, method=method)
    seconds = sum(os.times()[:4]) - begun
    region = task.region(slab.brain).expand_as(slab.x)
    return {
        "PSNR": round(float(psnr(found.mean, slab.x, region).mean()), 3),
        "covered": round(float(coverage(slab.x, *found.interval(level=0.9), region).mean()), 4),
        "products": Counted.products,
        "CPU seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prior", default="t1-slices")
    parser.add_argument("--slices", type=int, default=4)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = Run.open(options.prior).in_precision("bf16")
    slab = Slab.of("test", options.slices)
    results: dict[str, Any] = {}
    for most, share in RULES:
        methods.register(f"{most}, {share:g}")(partial(Counted, iterations=most, tolerance=share))
    for task in (Inpaint(*slab.x.shape[2:]), Superres()):
        for most, share in RULES:
            name = f"{most}, {share:g}"
            found = restored(run, task, slab, name, options.samples, options.steps)
            results[f"{task.name}, at most {most}, {share:g} left"] = found
            sys.stderr.write(f"{task.name} {name}: {found}\n")
    write_record({"results": results}, (unfog, torch), options.out)


if __name__ == "__main__":
    main()
