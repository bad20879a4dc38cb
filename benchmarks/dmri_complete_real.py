"""Real scans: directions predicted from some of the others, beside ridge regression.

    python benchmarks/dmri_complete_real.py --out benchmarks/results/dmri_complete_real.json
    python benchmarks/dmri_complete_real.py nlsam --sets FOLDER     # as dmri_real.py has it

From 12, 20 or 32 directions of one shell, chosen well spread from five different beginnings, unfog
predicts the others by its default, and so does ridge regression on spherical harmonics, on the raw
volumes and on what DIPY's MPPCA leaves, at the one of seven weights that is best for the very
directions that are judged. The error is against the magnitudes held out, so most of it is their
own noise; unfog's signal is given the bias of magnitudes again at the noise that it found, where
it took any away.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import dipy
import numpy as np
import torch
from dmri_real import predict, read
from record import write_record

import unfog
from unfog.core.denoiser import InBfloat16
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.complete import completed
from unfog.dmri.gradients import GradientTable, well_spread
from unfog.dmri.masks import brain_mask
from unfog.dmri.rician import magnitude_mean
from unfog.files.nifti import Volume
from unfog.runs.run import Run

Array = Any
SCANS, COUNTS, BEGINNINGS = ("small_64D", "small_25"), (12, 20, 32), 5
WEIGHTS = (0.0, 0.0005, 0.002, 0.006, 0.02, 0.06, 0.2)


def rms(x: Array) -> float:
    return round(float(np.sqrt(np.mean(np.square(x)))), 3)


def ridges(y: Array, known: GradientTable, wanted: GradientTable, truth: Array, at: Array) -> float:
    """The least error of ridge regression over its weights."""
    return min(rms((predict(y, known, wanted, 0, w) - truth)[at]) for w in WEIGHTS)


def by_unfog(
    denoiser: Any, volume: Volume, some: Array, known: GradientTable, wanted: GradientTable
) -> tuple[Array, str]:
    """The predicted magnitudes, and whether the prior or ridge regression predicted them."""
    y = volume.data[..., some]
    head = brain_mask(replace(volume, data=y), known)
    first = denoise(y, known, head)
    found = completed(denoiser, first, known, wanted, head)
    signal = found.signal
    if first.unbiased:
        signal = magnitude_mean(np.maximum(signal, 0), first.sigma[..., None])
    worse = found.check is not None and found.check.prior_is_worse
    return np.where(head[..., None], signal, 0), "ridge" if worse else "prior"


def case(
    denoiser: Any, volume: Volume, table: GradientTable, brain: Array, count: int, begin: int
) -> dict[str, Any]:
    """Errors from ``count`` directions."""
    from dipy.denoise.localpca import mppca

    weighted = np.random.default_rng(begin).permutation(np.flatnonzero(~table.b0))
    chosen = weighted[well_spread(table.directions[weighted], count)]
    some = np.sort(np.r_[np.flatnonzero(table.b0), chosen])
    held = np.setdiff1d(np.arange(len(table)), some)
    known, wanted, truth = table[some], table[held], volume.data[..., held]
    signal, by = by_unfog(denoiser, volume, some, known, wanted)
    y = volume.data[..., some].copy()
    found = {"unfog": rms((signal - truth)[brain]), "by": by}
    found["ridge"] = ridges(y, known, wanted, truth, brain)
    if min(y.shape[:3]) >= 5:
        found["mppca and ridge"] = ridges(mppca(y), known, wanted, truth, brain)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scans", nargs="*", help="of small_64D, small_25, nlsam; DIPY's by default")
    parser.add_argument("--sets", type=Path, help="the folder of nlsam-1.0")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    denoiser = InBfloat16(Run.open("dmri-refiner").denoiser)
    before = options.out is not None and options.out.exists()
    results = json.loads(options.out.read_text())["results"] if before else {}
    for name in options.scans or SCANS:
        volume, table, brain = read(name, options.sets)
        for count in (n for n in COUNTS if n < (~table.b0).sum()):
            cases = [case(denoiser, volume, table, brain, count, k) for k in range(BEGINNINGS)]
            results[f"{name}, from {count}"] = cases
            for one in cases:
                sys.stderr.write(f"{name}, from {count}: {one}\n")
    units = "root mean square against the magnitudes held out, in the scan's units"
    write_record({"units": units, "results": results}, (unfog, torch, np, dipy), options.out)


if __name__ == "__main__":
    main()
