"""Directions that were not measured: predicted from 12, 20 and 32 of 64, beside DIPY's MPPCA with
spherical harmonics or a tensor.

    python benchmarks/dmri_complete.py --prior dmri
    python benchmarks/dmri_complete.py --snr 10 20 --directions 12 --seeds 2

Everything is measured on the anatomical phantom, whose truth is exact. Every baseline is tuned on
that truth, once for each figure: with and without Koay's inversion, harmonics of order 4 and 6
under Laplace-Beltrami smoothing of seven strengths, or a weighted tensor. The measured directions
are those of the table that repel each other best, taken one by one.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dipy
import numpy as np
import torch
from dmri_denoise import cpu, dipy_table, noisy
from record import write_record

import unfog
from unfog.core.denoiser import InBfloat16
from unfog.dmri.checks.errors_to_truth import axis_angle
from unfog.dmri.denoising.complete import complete
from unfog.dmri.denoising.noise_level import gaussian_level
from unfog.dmri.gradients import GradientTable, well_spread
from unfog.dmri.rician import koay_inversion
from unfog.dmri.simulation.phantom import Phantom, make_phantom, real_gradients
from unfog.dmri.tensor import fit_tensors
from unfog.runs.run import Run

Array = Any
ORDERS, SMOOTHING = (4, 6), np.logspace(-4, 0, 7)


def harmonics(
    y: Array, gradients: GradientTable, target: GradientTable, order: int, smoothing: float
) -> Array:
    """DIPY's basis and Laplace-Beltrami smoothing (Descoteaux et al. 2007): the volumes of the
    target.
    """
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
    return _with_b0(
        y, gradients, target, fitted.predict(dipy_table(target), S0=s0)[..., ~target.b0]
    )


def _with_b0(y: Array, gradients: GradientTable, target: GradientTable, weighted: Array) -> Array:
    whole = np.repeat(y[..., gradients.b0].mean(-1)[..., None], len(target), -1)
    whole[..., ~target.b0] = weighted
    return whole


@dataclass(frozen=True)
class Judge:
    """What estimates (voxels of the mask, volumes) are held to; ``held`` are the volumes that were
    not measured.
    """

    phantom: Phantom
    held: Array

    @cached_property
    def direction(self) -> Array:
        """Of white matter, (voxels, 3)."""
        return fit_tensors(
            self.phantom.signal[self.phantom.white], self.phantom.gradients
        ).direction

    def __call__(self, estimate: Array) -> dict[str, float]:
        """RMSE of the held volumes in % of white matter's b0, and the mean angle from all volumes,
        in degrees.
        """
        error = (
            100
            / self.phantom.b0
            * (estimate - self.phantom.signal[self.phantom.mask])[:, self.held]
        )
        white = self.phantom.white[self.phantom.mask]
        angle = axis_angle(
            fit_tensors(estimate[white], self.phantom.gradients).direction, self.direction
        )
        return {"rmse": float(np.sqrt(np.mean(error**2))), "angle": float(angle.mean())}


def baselines(y: Array, table: GradientTable, judge: Judge) -> dict[str, dict[str, float]]:
    """Each at its best for each figure."""
    from dipy.denoise.localpca import mppca

    clean, level = mppca(y, return_sigma=True)
    inside, target = judge.phantom.mask, judge.phantom.gradients
    sigma = gaussian_level(level, clean, torch.ones(level.shape, dtype=torch.bool))[..., None]
    found: dict[str, dict[str, float]] = {}
    for name, volumes in (("mppca", clean), ("mppca + koay", koay_inversion(clean, sigma))):
        rows = volumes[inside]
        tried = [
            judge(harmonics(rows, table, target, order, s)) for order in ORDERS for s in SMOOTHING
        ]
        found[f"{name}, harmonics"] = {key: min(one[key] for one in tried) for key in tried[0]}
        found[f"{name}, tensor"] = judge(tensor(rows, table, target))
    return found


def ours(denoiser: Any, y: Array, table: GradientTable, judge: Judge) -> dict[str, float]:
    """The figures of the completion, and the deviation of its errors over what it says of them."""
    phantom, begun = judge.phantom, cpu()
    found = complete(denoiser, y, table, phantom.gradients, phantom.mask)
    seconds = cpu() - begun
    z = ((found.signal - phantom.signal)[phantom.mask] / found.std[phantom.mask])[:, judge.held]
    return {
        **judge(found.signal[phantom.mask]),
        "z_deviation": float(np.sqrt(np.mean(z**2))),
        "cpu_seconds": seconds,
    }


def compare(denoiser: Any, snr: float, count: int, seeds: int) -> dict[str, Any]:
    """Means over the seeds, and ours over the best baseline's of each figure."""
    gradients, runs = real_gradients(), []
    weighted = np.flatnonzero(~gradients.b0)
    chosen = weighted[well_spread(gradients.directions[weighted], count)]
    volumes, held = np.append(np.flatnonzero(gradients.b0), chosen), np.setdiff1d(weighted, chosen)
    for seed in range(seeds):
        phantom = make_phantom(gradients, seed)
        y, table = noisy(phantom, snr, "white", seed)[..., volumes], gradients[volumes]
        judge = Judge(phantom, held)
        rows = {"unfog": ours(denoiser, y, table, judge), **baselines(y, table, judge)}
        for name, row in rows.items():
            sys.stderr.write(f"SNR {snr:g}, {count} directions, seed {seed}, {name}: {row}\n")
        runs.append(rows)
    mean = {
        name: {
            key: round(float(np.mean([rows[name][key] for rows in runs])), 4)
            for key in runs[0][name]
        }
        for name in runs[0]
    }
    best = {
        key: min(row[key] for name, row in mean.items() if name != "unfog")
        for key in ("rmse", "angle")
    }
    return {
        **mean,
        "ratio_to_best": {key: round(mean["unfog"][key] / value, 4) for key, value in best.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--snr", type=float, nargs="+", default=[20])
    parser.add_argument("--directions", type=int, nargs="+", default=[12, 20, 32])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--prior", default="dmri-refiner", help="a run of dmri-refiner, or a shipped prior"
    )
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
        "data": "anatomical phantom, 48 x 48 x 24, some of 64 directions of small_64D measured, "
        "b = 1000, 6 b0, white Rician noise",
        "units": {
            "rmse": "of directions not measured, % of white-matter b0",
            "angle": "mean, degrees",
            "z_deviation": "of error / std",
        },
        "prior": run.name,
        "prior_sha256": run.weights_sha256,
        "seeds": options.seeds,
    }
    write_record(
        {**head, "goal": {"rmse": 0.80, "angle": 0.78}, "results": results},
        (unfog, torch, np, dipy),
        options.out,
    )


if __name__ == "__main__":
    main()
