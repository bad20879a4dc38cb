"""Directions that were not measured: predicted from 12, 20 and 32 of 64, beside DIPY's MPPCA with spherical harmonics or a tensor.

    python benchmarks/dmri_complete.py --prior dmri
    python benchmarks/dmri_complete.py --snr 10 20 --directions 12 --seeds 2

Everything is measured on the anatomical phantom, whose truth is exact. Every baseline is tuned on that truth, once for each figure:
with and without Koay's inversion, harmonics of order 4 and 6 under Laplace-Beltrami smoothing of nine strengths, or a weighted tensor.
The measured directions are those of the table that repel each other best, taken one by one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import dipy
import numpy as np
import torch
from dmri_denoise import cpu, dipy_table, mppca, noisy
from record import write_record

import unfog
from unfog.core.denoiser import InBfloat16
from unfog.dmri.complete import complete
from unfog.dmri.gradients import GradientTable
from unfog.dmri.measures import measure
from unfog.dmri.phantom import Phantom, make_phantom, real_gradients
from unfog.systems.run import Run

Array = Any
ORDERS, SMOOTHING = (4, 6), np.logspace(-5, 0, 9)


def spread(directions: Array, count: int) -> Array:
    """``count`` of the unit axes (n, 3) that repel each other best, taken one by one: their numbers."""
    chosen = [0]
    while len(chosen) < count:
        dots = np.clip(np.abs(directions @ directions[chosen].T), 0, 1)
        energy = (1 / np.sqrt(2 - 2 * dots + 1e-9) + 1 / np.sqrt(2 + 2 * dots)).sum(1)
        energy[chosen] = np.inf
        chosen.append(int(energy.argmin()))
    return np.sort(chosen)


def harmonics(y: Array, gradients: GradientTable, target: GradientTable, order: int, smoothing: float) -> Array:
    """DIPY's basis and Laplace-Beltrami smoothing (Descoteaux et al. 2007): the volumes of the target."""
    from dipy.core.geometry import cart2sphere
    from dipy.reconst.shm import real_sh_descoteaux, smooth_pinv

    def basis(table: GradientTable) -> tuple[Array, Array]:
        _, theta, phi = cart2sphere(*table.directions[~table.b0].T)
        matrix, _, degree = real_sh_descoteaux(order, theta, phi, legacy=False)
        return matrix, degree

    (b, degree), (there, _) = basis(gradients), basis(target)
    fit = smooth_pinv(b, np.sqrt(smoothing) * degree * (degree + 1))
    return _with_b0(y, gradients, target, y[..., ~gradients.b0] @ (there @ fit).T)


def tensor(y: Array, gradients: GradientTable, target: GradientTable) -> Array:
    """DIPY's weighted tensor: the volumes of the target."""
    from dipy.reconst.dti import TensorModel

    s0 = y[..., gradients.b0].mean(-1)
    fitted = TensorModel(dipy_table(gradients)).fit(np.maximum(y, 1e-4))
    return _with_b0(y, gradients, target, fitted.predict(dipy_table(target), S0=s0)[..., ~target.b0])


def _with_b0(y: Array, gradients: GradientTable, target: GradientTable, weighted: Array) -> Array:
    whole = np.repeat(y[..., gradients.b0].mean(-1)[..., None], len(target), -1)
    whole[..., ~target.b0] = weighted
    return whole


def figures(estimate: Array, phantom: Phantom, held: Array) -> dict[str, float]:
    """RMSE of the ``held`` volumes in % of white matter's b0, and the angle from all."""
    error = 100 / phantom.b0 * (estimate - phantom.signal)[phantom.mask][:, held]
    return {"rmse": float(np.sqrt(np.mean(error**2))), "angle": measure(estimate, phantom).angle}


def baselines(y: Array, table: GradientTable, phantom: Phantom, held: Array) -> dict[str, dict[str, float]]:
    """Each at its best for each figure."""
    found: dict[str, dict[str, float]] = {}
    for name, koay in (("mppca", False), ("mppca + koay", True)):
        clean, target = mppca(y, koay, 1), phantom.gradients
        grid = [harmonics(clean, table, target, order, s) for order in ORDERS for s in SMOOTHING]
        tried = [figures(estimate, phantom, held) for estimate in grid]
        found[f"{name}, harmonics"] = {key: min(one[key] for one in tried) for key in tried[0]}
        found[f"{name}, tensor"] = figures(tensor(clean, table, target), phantom, held)
    return found


def ours(denoiser: Any, y: Array, table: GradientTable, phantom: Phantom, held: Array) -> dict[str, float]:
    """The figures of the completion, and the deviation of its errors over what it says of them."""
    begun = cpu()
    found = complete(denoiser, y, table, phantom.gradients, phantom.mask)
    seconds = cpu() - begun
    z = ((found.signal - phantom.signal)[phantom.mask] / found.std[phantom.mask])[:, held]
    return {**figures(found.signal, phantom, held), "z_deviation": float(np.sqrt(np.mean(z**2))), "cpu_seconds": seconds}


def compare(denoiser: Any, snr: float, count: int, seeds: int) -> dict[str, Any]:
    """Means over the seeds, and ours over the best baseline's of each figure."""
    gradients, runs = real_gradients(), []
    weighted = np.flatnonzero(~gradients.b0)
    chosen = weighted[spread(gradients.directions[weighted], count)]
    volumes, held = np.append(np.flatnonzero(gradients.b0), chosen), np.setdiff1d(weighted, chosen)
    for seed in range(seeds):
        phantom = make_phantom(gradients, seed)
        y, table = noisy(phantom, snr, "white", seed)[..., volumes], gradients[volumes]
        rows = {"unfog": ours(denoiser, y, table, phantom, held), **baselines(y, table, phantom, held)}
        for name, row in rows.items():
            sys.stderr.write(f"SNR {snr:g}, {count} directions, seed {seed}, {name}: {row}\n")
        runs.append(rows)
    mean = {name: {key: round(float(np.mean([rows[name][key] for rows in runs])), 4) for key in runs[0][name]} for name in runs[0]}
    best = {key: min(row[key] for name, row in mean.items() if name != "unfog") for key in ("rmse", "angle")}
    return {**mean, "ratio_to_best": {key: round(mean["unfog"][key] / value, 4) for key, value in best.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snr", type=float, nargs="+", default=[20])
    parser.add_argument("--directions", type=int, nargs="+", default=[12, 20, 32])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--prior", default="dmri", help="a run of dmri-prior, or a shipped prior")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run = Run.open(options.prior)
    denoiser = InBfloat16(run.denoiser)
    results = {
        f"SNR {snr:g}, {count} directions": compare(denoiser, snr, count, options.seeds)
        for snr in options.snr
        for count in options.directions
    }
    head = {
        "data": "anatomical phantom, 48 x 48 x 24, some of 64 directions of small_64D measured, b = 1000, 6 b0, white Rician noise",
        "units": {"rmse": "of directions not measured, % of white-matter b0", "angle": "mean, degrees", "z_deviation": "of error / std"},
        "prior": run.name, "prior_sha256": run.weights_sha256, "seeds": options.seeds,
    }  # fmt: skip
    write_record({**head, "goal": {"rmse": 0.80, "angle": 0.78}, "results": results}, (unfog, torch, np, dipy), options.out)


if __name__ == "__main__":
    main()
