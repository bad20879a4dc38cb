"""Cones of uncertainty and intervals of FA: how often they hold the truth, beside the residual
bootstrap of DIPY's tensor.

    python benchmarks/dmri_fod.py                     # SNR 20
    python benchmarks/dmri_fod.py --snr 10 20 --draws 200 --voxels 2000
    python benchmarks/dmri_fod.py --scan multi-tensor force    # simulators of others

Both see the same raw Rician noise on the anatomical phantom, whose truth is exact, and are told
nothing of it. Voxels are drawn from the white matter of a block of which one tile of the prior
holds all. The factors of the intervals are those beside the prior's weights
(``dmri_intervals.py``), learned on simulation; coverage is given without them too. The bootstrap
(Jones 2008) fits a weighted tensor, draws its residuals, each over sqrt(1 - leverage), anew for
every volume, and fits again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import dipy
import numpy as np
import torch
from dmri_denoise import SCANS, cpu, dipy_table, noisy
from record import write_record

import unfog
from unfog.core.denoiser import InBfloat16
from unfog.dmri.checks.errors_to_truth import axis_angle
from unfog.dmri.denoising import classical
from unfog.dmri.fibres.fod import chosen_shell, drawn, fod_scales, scale_at
from unfog.dmri.fibres.orientation import cone
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.phantom import Phantom
from unfog.runs.run import Run

Array = Any
BLOCK, NORMAL = {"single-shell": (slice(0, 18), slice(18, 30))}, 1.96
FIELDS = ("direction", "cone95", "cone50", "fa_mean", "fa_std", "md_mean", "md_std")


def chosen(phantom: Phantom, count: int, block: tuple[slice, ...]) -> Array:
    """``count`` voxels of white matter in the block, (X, Y, Z)."""
    white = np.zeros_like(phantom.white)
    white[block] = phantom.white[block]
    where = np.flatnonzero(white)
    some = np.zeros(white.size, bool)
    some[np.random.default_rng(0).choice(where, min(count, len(where)), replace=False)] = True
    return some.reshape(white.shape)


def ours(denoiser: Any, y: Array, phantom: Phantom, some: Array, draws: int) -> dict[str, Array]:
    """The posterior of the ``some`` voxels."""
    first, table = classical.denoise(y, phantom.gradients, phantom.mask), phantom.gradients
    found = drawn(denoiser, first, table, chosen_shell(table), some, draws=draws, kept=1).maps
    return {name: getattr(found, name)[some] for name in FIELDS} | {"misfit": found.misfit}


def bootstrap(y: Array, gradients: GradientTable, draws: int) -> dict[str, Array]:
    """The residual bootstrap of ``y`` (voxels, volumes) under DIPY's weighted tensor."""
    from dipy.reconst.dti import TensorModel

    table, random = dipy_table(gradients), np.random.default_rng(0)
    model = TensorModel(table, fit_method="WLS")
    fitted = model.fit(np.maximum(y, 1e-4))
    mean = fitted.predict(
        table, S0=fitted.S0_hat if fitted.S0_hat is not None else _s0(y, gradients, fitted)
    )
    design = model.design_matrix
    weighted = mean[:, :, None] * design  # each volume's row over the deviation of its logarithm
    inverse = np.linalg.pinv(weighted.transpose(0, 2, 1) @ weighted, hermitian=True)
    leverage = np.einsum("vni,vij,vnj->vn", weighted, inverse, weighted)
    residual = (y - mean) / np.sqrt(np.maximum(1 - leverage, 0.05))
    axes, fa, md = [], [], []
    for _ in range(draws):
        pick = random.integers(0, y.shape[1], y.shape)
        again = model.fit(np.maximum(mean + np.take_along_axis(residual, pick, 1), 1e-4))
        axes.append(again.evecs[:, :, 0])
        fa.append(again.fa)
        md.append(again.md)
    axis, quantile = cone(np.stack(axes))
    found = (
        axis,
        quantile(0.95),
        quantile(0.5),
        np.mean(fa, 0),
        np.std(fa, 0),
        np.mean(md, 0),
        np.std(md, 0),
    )
    return dict(zip(FIELDS, found, strict=True))


def _s0(y: Array, gradients: GradientTable, fitted: Any) -> Array:
    """The signal without weighting that goes with a fitted tensor: the least squares of S = S_0
    E.
    """
    shape = fitted.predict(dipy_table(gradients), S0=1.0)
    return (y * shape).sum(1) / (shape**2).sum(1)


def covered(found: dict[str, Array], truth: Any, scales: dict[str, Any]) -> dict[str, float]:
    """Shares of the truth inside the cones and intervals, and their mean sizes."""
    by = {name: scale_at(scale, found["fa_mean"]) for name, scale in scales.items()}
    angle = axis_angle(found["direction"], truth.direction)
    figures = {
        "cone95": (angle <= by["cone"] * found["cone95"]).mean(),
        "cone50": (angle <= by["cone"] * found["cone50"]).mean(),
        "fa95": (np.abs(found["fa_mean"] - truth.fa) <= NORMAL * by["fa"] * found["fa_std"]).mean(),
        "md95": (np.abs(found["md_mean"] - truth.md) <= NORMAL * by["md"] * found["md_std"]).mean(),
        "mean_cone95": (by["cone"] * found["cone95"]).mean(),
        "mean_fa_std": (by["fa"] * found["fa_std"]).mean(),
        "fa_bias": (found["fa_mean"] - truth.fa).mean(),
        "angle": angle.mean(),
    }
    return {key: round(float(value), 4) for key, value in figures.items()}


def compare(run: Run, scan: str, snr: float, draws: int, count: int, seed: int) -> dict[str, Any]:
    phantom = SCANS[scan](seed)
    gradients = phantom.gradients
    y, some = noisy(phantom, snr, "white", seed), chosen(phantom, count, BLOCK.get(scan, ()))
    truth = type(phantom.tensors())(*(part[some[phantom.mask]] for part in phantom.tensors()))
    rows, none = {}, dict.fromkeys(("cone", "fa", "md"), 1.0)
    begun = cpu()
    found = ours(InBfloat16(run.denoiser), y, phantom, some, draws)
    rows["unfog"] = {
        **covered(found, truth, fod_scales(run)),
        "cpu_seconds": round(cpu() - begun, 1),
    }
    rows["unfog"]["misfit_of_order_2"] = round(float(found["misfit"][1]), 3)
    rows["unfog, no factors"] = covered(found, truth, none)
    begun = cpu()
    rows["bootstrap"] = covered(
        bootstrap(y[some].astype(np.float64), gradients, draws), truth, none
    )
    rows["bootstrap"]["cpu_seconds"] = round(cpu() - begun, 1)
    rows["ratio_of_cones"] = {
        "mean_cone95": round(rows["unfog"]["mean_cone95"] / rows["bootstrap"]["mean_cone95"], 4)
    }
    for name, row in rows.items():
        sys.stderr.write(f"{scan} SNR {snr:g} {name}: {row}\n")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--snr", type=float, nargs="+", default=[20])
    parser.add_argument("--scan", nargs="+", choices=[*SCANS], default=["single-shell"])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--voxels", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prior", default="dmri", help="a run of dmri-prior, or a shipped prior")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run = Run.open(options.prior)
    results = {
        f"{scan}, SNR {snr:g}": compare(run, scan, snr, options.draws, options.voxels, options.seed)
        for scan in options.scan
        for snr in options.snr
    }
    head = {
        "data": {
            scan: (SCANS[scan].__doc__ or "").strip().splitlines()[0] for scan in options.scan
        },
        "noise": "white, Rician",
        "voxels": options.voxels,
        "units": {"cone95": "share", "mean_cone95": "degrees", "angle": "mean, degrees"},
        "draws": options.draws,
        "seed": options.seed,
        "prior": run.name,
        "prior_sha256": run.weights_sha256,
        "factors": fod_scales(run),
        "goal": {
            "cone95": [0.93, 0.97],
            "cone50": [0.46, 0.54],
            "fa95": [0.93, 0.97],
            "ratio_of_cones": 0.85,
        },
    }
    write_record({**head, "results": results}, (unfog, torch, np, dipy), options.out)


if __name__ == "__main__":
    main()
