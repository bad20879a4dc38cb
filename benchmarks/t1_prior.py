"""The T1 prior on the slab no training has seen: PSNR and SSIM inside the brain beside baselines
tuned on the truth, and coverage.

    python benchmarks/t1_prior.py
    # the shipped prior, all 10 slices, as many samples as the demo draws
    python benchmarks/t1_prior.py --run runs/mine --slices 4 --samples 8

The factor on the standard deviation is learned on the validation slab; the intervals are then
scored on the test slab.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import scipy
import skimage
import torch
from record import write_record

import unfog
from unfog.demo.main import GRID
from unfog.demo.restore import Outcome, calibrate, restore_slab
from unfog.demo.tasks import Slab, tasks
from unfog.runs.run import Run
from unfog.runs.sample import Plan


def figures(outcome: Outcome) -> dict[str, Any]:
    """The numbers of a task."""
    return {
        "psnr": float(outcome.ours.psnr.mean()),
        "psnr_gain": outcome.gain,
        "ssim": float(outcome.ours.ssim.mean()),
        "least_gain_of_a_slice": float((outcome.ours.psnr - outcome.baseline.psnr).min()),
        "baseline": outcome.best.name,
        "baseline_parameters": outcome.best.params,
        "baseline_psnr": float(outcome.baseline.psnr.mean()),
        "baseline_ssim": float(outcome.baseline.ssim.mean()),
        "interval_scale": outcome.scale,
        "coverage_of_90": outcome.covered,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="t1-slices")
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--calibration", type=int, default=10)
    parser.add_argument(
        "--samples", type=int, help="of each slice, instead of the task's own number"
    )
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--sampler")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run = Run.open(options.run)
    slab, other = Slab.of("test", options.slices), Slab.of("validation", options.calibration)
    plan, results = Plan.of(run, options.sampler, options.steps, GRID), {}
    with tempfile.TemporaryDirectory() as scratch:
        for task in tasks(slab):
            samples = options.samples or task.samples
            scale = calibrate(run, task, other, samples, plan, lambda done, total: None)
            outcome = restore_slab(
                run,
                task,
                slab,
                scale,
                samples,
                plan,
                Path(scratch) / task.name,
                lambda done, total: None,
            )
            results[task.name] = {"samples": samples, **figures(outcome)}
            sys.stderr.write(f"{task.name}: {json.dumps(results[task.name])}\n")
    figures_of_all = {
        "data": "mni-t1 test slab, one average brain",
        "seed": 0,
        "slices": options.slices,
        **plan.names,
        "results": results,
    }
    write_record(figures_of_all, (unfog, torch, skimage, scipy), options.out)


if __name__ == "__main__":
    main()
