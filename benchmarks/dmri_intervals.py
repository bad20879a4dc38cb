"""What cones and intervals of ``unfog dmri fod`` are multiplied by, learned on simulation alone,
each quantity apart.

    python benchmarks/dmri_intervals.py --prior dmri --keep
    # writes uncertainty/fod-{cone,fa,md}.json beside the prior's weights

Each simulated scan (``unfog.dmri.simulation.simulate``, seeds that training never draws) has a b of
its own from 700 to 3000 s/mm^2, 20 to 90 directions, and Rician noise of SNR 10 to 30 that nothing
is told of. In fibrous voxels (FA above .2) each error is divided by its claim: the angle to the
true axis by the 95 % cone, errors of FA and MD by 1.96 deviations. The factor is the 95 % quantile
of that ratio in the median scan, so that a typical scan is covered; the one in fourteen whose
fibres differ from voxel to voxel at random does not decide.
"""

from __future__ import annotations

import argparse
import json
import sys
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
from unfog.files.output import write_bytes
from unfog.runs.run import Run

SIDE, SEED, FIBROUS, FEWEST = 16, 2**32, 0.2, 200
LEVEL, NORMAL = 0.95, 1.96


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
    """Error over claim of each quantity in the fibrous voxels of a scan, or None where there are
    few.
    """
    truth, y, table, snr = scan(number)
    head = truth[..., 0] > 0.3
    inside = head.copy()
    true = fit_tensors(truth[head].astype(np.float64), table) if head.sum() > FEWEST else None
    if true is None or (true.fa > FIBROUS).sum() < FEWEST:
        return None
    inside[head] = true.fa > FIBROUS
    first = classical.denoise(y, table, head)
    found = drawn(
        denoiser, first, table, np.arange(len(table)), inside, draws=draws, kept=1, seed=number
    ).maps
    kept = true.fa > FIBROUS
    angle = axis_angle(found.direction[inside], true.direction[kept])
    return {
        "cone": angle / found.cone95[inside],
        "cone50": angle / found.cone50[inside],
        "fa": np.abs(found.fa_mean[inside] - true.fa[kept]) / (NORMAL * found.fa_std[inside]),
        "md": np.abs(found.md_mean[inside] - true.md[kept]) / (NORMAL * found.md_std[inside]),
        "snr": snr,
    }


def _covered(found: list[dict[str, Any]], name: str, scale: float) -> float:
    """The share of errors within ``scale`` times their claim, the mean over scans."""
    return float(np.mean([(one[name] <= scale).mean() for one in found]))


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
            told = {
                key: round(float(np.quantile(one[key], 0.5 if key == "cone50" else LEVEL)), 3)
                for key in one
                if key != "snr"
            }
            sys.stderr.write(f"scan {number - 1}, SNR {one['snr']:.0f}: {told}\n")
    results = {}
    for name in ("cone", "fa", "md"):
        needed = [float(np.quantile(one[name], LEVEL)) for one in found]
        scale = float(np.median(needed))
        covered = {
            f"covered {when}": float(np.mean([(one[name] <= by).mean() for one in found]))
            for when, by in (("before", 1), ("after", scale))
        }
        spread = {
            "lower quartile": float(np.quantile(needed, 0.25)),
            "upper quartile": float(np.quantile(needed, 0.75)),
        }
        results[name] = {
            "scale": round(scale, 4),
            **{key: round(value, 4) for key, value in (covered | spread).items()},
        }
        if options.keep:
            facts = {
                "task": f"fod-{name}",
                "level": LEVEL,
                "scans": options.scans,
                "draws": options.draws,
                "data": "dmri-simulation",
            }
            record = {**facts, **results[name], "weights_sha256": run.weights_sha256}
            folder = run.path / "uncertainty"
            folder.mkdir(exist_ok=True)
            write_bytes(
                folder / f"fod-{name}.json",
                (json.dumps(record, indent=1) + "\n").encode(),
                overwrite=True,
            )
    facts = {
        "data": f"dmri-simulation, {options.scans} scans of {SIDE}^3 voxels",
        "prior": run.name,
        "prior_sha256": run.weights_sha256,
    }
    write_record(
        {**facts, "draws": options.draws, "results": results}, (unfog, torch, np), options.out
    )


if __name__ == "__main__":
    main()
