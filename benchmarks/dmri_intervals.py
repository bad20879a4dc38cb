"""What cones and intervals of ``unfog dmri fod`` are multiplied by, learned on simulation alone,
each quantity apart.

    python benchmarks/dmri_intervals.py --prior dmri --keep
    # writes uncertainty/fod-{cone,fa,md}.json beside the prior's weights

Each simulated scan (``unfog.dmri.simulation.simulate``, seeds that training never draws) has a b of
its own from 700 to 3000 s/mm^2, 20 to 90 directions, and Rician noise of SNR 10 to 30 that nothing
is told of. Each error is divided by its claim: the angle to the true axis by the 95 % cone, errors
of FA and MD by 1.96 deviations; a factor is the 95 % quantile of that ratio. Scans of which the
command warns (misfit at order 2) do not count.

Cones and intervals of FA have factors by the FA that is found: in fibrous voxels (above .2) that of
the median scan, so that a typical scan is covered; below, where the prior sees more anisotropy than
there is in every scan alike, that of all voxels together. MD has one factor, of fibrous voxels of
the median scan.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write_record

import unfog
from unfog.core.denoiser import InBfloat16
from unfog.core.random import generator
from unfog.dmri import harmonics
from unfog.dmri.checks.errors_to_truth import axis_angle
from unfog.dmri.denoising import classical
from unfog.dmri.fibres.fod import drawn
from unfog.dmri.gradients import GradientTable
from unfog.dmri.shells import basis
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.dmri.simulation.simulate import simulate
from unfog.dmri.tensor import fit_tensors
from unfog.files.sealed import write_sealed
from unfog.runs.run import Run

SIDE, SEED, FIBROUS, FEWEST = 16, 2**32, 0.2, 60
VOXELS = 800  # of a head, at least
LEVEL, NORMAL = 0.95, 1.96
EDGES = (0.0, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45, 1.0)  # of classes of FA
MIDDLES = (0.03, 0.08, 0.125, 0.175, 0.25, 0.375, 0.6)  # where their factors hold
LARGEST = 1.25  # misfit at order 2, above which the command warns


def scan(number: int) -> tuple[Any, Any, GradientTable, float]:
    """The truth and the magnitudes (X, Y, Z, volumes) of a simulated scan, its table and its
    SNR.
    """
    source = generator(SEED, "intervals", number)
    patch = simulate(SIDE, source)
    while patch.b < 0.7:
        patch = simulate(SIDE, source)
    n, snr = (
        int(torch.randint(20, 91, (), generator=source)),
        float(10 * 3 ** torch.rand((), generator=source)),
    )
    n0 = max(2, n // 10)
    directions = np.concatenate([np.zeros((n0, 3)), harmonics.fibonacci(2 * n)[:n].numpy()])
    table = GradientTable(np.r_[np.zeros(n0), np.full(n, 1000 * patch.b)], directions)
    weighted = torch.einsum("cxyz,nc->xyzn", patch.coefficients, basis(directions[n0:]).float())
    truth = torch.cat([patch.b0[..., None].expand(*patch.b0.shape, n0), weighted], -1).clamp(min=0)
    noisy = add_magnitude_noise(truth.movedim(3, 0), 1 / snr, source).movedim(0, 3)
    return truth.numpy(), noisy.numpy(), table, snr


def ratios(denoiser: Any, number: int, draws: int) -> dict[str, Any] | None:
    """Error over claim of each quantity in the head of a scan, and the FA that was found, (voxels,)
    each; None for a small head, or a scan of which the command warns.
    """
    truth, y, table, snr = scan(number)
    head = truth[..., 0] > 0.3
    if head.sum() < VOXELS:
        return None
    true = fit_tensors(truth[head].astype(np.float64), table)
    first = classical.denoise(y, table, head)
    found = drawn(
        denoiser, first, table, np.arange(len(table)), head, draws=draws, kept=1, seed=number
    ).maps
    if found.misfit[1] > LARGEST:
        return None
    angle = axis_angle(found.direction[head], true.direction)
    fa, md = found.fa_mean[head], found.md_mean[head]
    return {
        "found": fa,
        "cone": angle / np.maximum(found.cone95[head], 1e-6),
        "fa": np.abs(fa - true.fa) / (NORMAL * np.maximum(found.fa_std[head], 1e-9)),
        "md": np.abs(md - true.md) / (NORMAL * np.maximum(found.md_std[head], 1e-15)),
        "snr": snr,
    }


def factor(found: list[dict[str, Any]], name: str, low: float, high: float) -> dict[str, float]:
    """The factor of a quantity where FA is found to be from ``low`` to ``high``; how often claims
    hold the truth there before and after, and the quartiles over scans of what each needs.
    """
    classes = [one[name][(one["found"] >= low) & (one["found"] < high)] for one in found]
    classes = [ratio for ratio in classes if len(ratio) >= FEWEST]
    needed = [float(np.quantile(ratio, LEVEL)) for ratio in classes]
    whole = np.concatenate(classes)
    scale = float(np.median(needed) if low >= FIBROUS else np.quantile(whole, LEVEL))
    figures = {
        "scale": scale,
        "voxels": len(whole),
        "covered before": float((whole <= 1).mean()),
        "covered after": float((whole <= scale).mean()),
        "lower quartile": float(np.quantile(needed, 0.25)),
        "upper quartile": float(np.quantile(needed, 0.75)),
    }
    return {key: round(value, 4) for key, value in figures.items()}


def factors(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The factors of a quantity: one of fibrous voxels, and of FA and cones those by the FA that is
    found, with what each class needed.
    """
    one = factor(found, name, FIBROUS, 1.0)
    if name == "md":
        return one
    classes = {
        f"{low:g} to {high:g}": factor(found, name, low, high) for low, high in pairwise(EDGES)
    }
    scales = [row["scale"] for row in classes.values()]
    return one | {"by": [list(pair) for pair in zip(MIDDLES, scales, strict=True)], "FA": classes}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prior", default="dmri", help="a run of dmri-prior, or a shipped prior")
    parser.add_argument("--scans", type=int, default=12)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--keep", action="store_true", help="write the factors beside the weights")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run, found, number = Run.open(options.prior), [], 0
    while len(found) < options.scans:
        one = ratios(InBfloat16(run.denoiser), number, options.draws)
        number += 1
        if one is not None:
            found.append(one)
            sys.stderr.write(f"scan {number - 1}, SNR {one['snr']:.0f}\n")
    results = {name: factors(found, name) for name in ("cone", "fa", "md")}
    if options.keep:
        for name, row in results.items():
            keep(run, f"fod-{name}", {"scans": options.scans, "draws": options.draws, **row})
    facts = {
        "data": f"dmri-simulation, {options.scans} scans of {SIDE}^3 voxels",
        "prior": run.name,
        "prior_sha256": run.weights_sha256,
    }
    write_record(
        {**facts, "draws": options.draws, "results": results}, (unfog, torch, np), options.out
    )


def keep(run: Run, task: str, facts: dict[str, Any]) -> None:
    """Write what was learned beside the run's weights."""
    record = {"task": task, "level": LEVEL, "data": "dmri-simulation", **facts}
    folder = run.path / "uncertainty"
    folder.mkdir(exist_ok=True)
    record = {**record, "weights_sha256": run.weights_sha256}
    write_sealed(folder / f"{task}.json", record, overwrite=True)


if __name__ == "__main__":
    main()
