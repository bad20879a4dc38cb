"""How often cones and intervals of FA hold the truth in white and grey matter, in fluid and between
tissues, with one factor each and with factors by the FA that is found.

    python benchmarks/dmri_fod_classes.py --out benchmarks/results/dmri_fod_classes.json

On the anatomical phantom and on DIPY's ``multi_tensor`` signals over the same anatomy, which share
no code with the simulation that the factors are learned on (``dmri_intervals.py``); white Rician
noise of which nothing is told. A class holds the voxels of which a tissue is more than .7, and the
rest lies between tissues. "trusted" are the voxels where the map ``trust`` is 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import dipy
import numpy as np
import torch
from dmri_denoise import SCANS, noisy
from record import write_record

import unfog
from unfog.core.denoiser import InBfloat16
from unfog.dmri.checks.errors_to_truth import axis_angle
from unfog.dmri.denoising import classical
from unfog.dmri.fibres.fod import chosen_shell, drawn, fod_scales, scale_at, trusted
from unfog.dmri.simulation.phantom import FAMILIES, Phantom
from unfog.runs.run import Run
from unfog.runs.uncertainty import interval_scale

NORMAL, MOSTLY = 1.96, 0.7


def classes(phantom: Phantom) -> dict[str, Any]:
    """The voxels of the head (n,) in each class."""
    shares = phantom.fractions[phantom.mask]
    pure = {
        "white": shares[:, :FAMILIES].sum(1) > MOSTLY,
        "grey": shares[:, FAMILIES] > MOSTLY,
        "fluid": shares[:, FAMILIES + 1] > MOSTLY,
    }
    return pure | {"between": ~np.any(list(pure.values()), 0)}


def measure(run: Run, scan: str, snr: float, draws: int, seed: int) -> dict[str, Any]:
    """Shares of the truth in cones and intervals, by class."""
    phantom = SCANS[scan](seed)
    table, head = phantom.gradients, phantom.mask
    first = classical.denoise(noisy(phantom, snr, "white", seed), table, head)
    volumes, den = chosen_shell(table), InBfloat16(run.denoiser)
    maps = drawn(den, first, table, volumes, head, draws=draws, kept=1, seed=seed).maps
    truth, fa = phantom.tensors(), maps.fa_mean[head]
    error = np.abs(fa - truth.fa) / (NORMAL * np.maximum(maps.fa_std[head], 1e-9))
    angle = axis_angle(maps.direction[head], truth.direction) / maps.cone95[head]
    one = {name: interval_scale(run, f"fod-{name}") for name in ("fa", "cone")}
    by = {name: scale_at(fod_scales(run)[name], fa) for name in ("fa", "cone")}
    kinds = classes(phantom)
    kinds["trusted"] = trusted(maps)[head] > 0
    rows = {}
    for name, some in kinds.items():
        rows[name] = {
            "voxels": int(some.sum()),
            "trusted": round(float(kinds["trusted"][some].mean()), 3),
            "fa95, one factor": round(float((error <= one["fa"])[some].mean()), 3),
            "fa95, by FA": round(float((error <= by["fa"])[some].mean()), 3),
            "cone95, one factor": round(float((angle <= one["cone"])[some].mean()), 3),
            "cone95, by FA": round(float((angle <= by["cone"])[some].mean()), 3),
            "mean factor of FA": round(float(by["fa"][some].mean()), 3),
        }
        sys.stderr.write(f"{scan} SNR {snr:g} {name}: {rows[name]}\n")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scan", nargs="+", choices=[*SCANS], default=["small", "multi-tensor"])
    parser.add_argument("--snr", type=float, nargs="+", default=[20])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prior", default="dmri", help="a run of dmri-prior, or a shipped prior")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run = Run.open(options.prior)
    results = {
        f"{scan}, SNR {snr:g}": measure(run, scan, snr, options.draws, options.seed)
        for scan in options.scan
        for snr in options.snr
    }
    head = {
        "noise": "white, Rician",
        "draws": options.draws,
        "seed": options.seed,
        "prior": run.name,
        "prior_sha256": run.weights_sha256,
        "factors": fod_scales(run),
        "goal": {"fa95": [0.93, 0.97]},
    }
    write_record({**head, "results": results}, (unfog, torch, np, dipy), options.out)


if __name__ == "__main__":
    main()
