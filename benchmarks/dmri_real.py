"""Real scans: volumes held out are predicted from the others, denoised by unfog, by DIPY's MPPCA or
not at all.

    python benchmarks/dmri_real.py --out benchmarks/results/dmri_real.json

The scans are DIPY's small_64D (one shell) and small_101D (a grid in q-space, whose b-values are too
many for the prior, so low rank alone). In each of five folds a fifth of the weighted volumes is set
aside before anything else is done. What is left is denoised, and one predictor for all reads the
others from it: ridge regression on spherical harmonics to order 4, times powers of b where b
varies, with the Laplace-Beltrami penalty lambda (Descoteaux et al. 2007, whose .006 is the one to
look at; 0 and .002 stand beside it).

The error is that against the magnitudes held out, so most of it is their own noise. unfog runs from
files to files, as its command does. With ``--keep-bias`` it estimates the mean magnitude, as MPPCA
does: those two are alike. Without, it estimates the signal beneath, whose prediction is then given
the bias of magnitudes again, at the noise that unfog found.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dipy
import nibabel as nib
import numpy as np
import torch
from record import write_record

import unfog
from unfog.dmri import harmonics
from unfog.dmri.gradient_files import read_fsl, write_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.rician import magnitude_mean
from unfog.dmri.workflows.denoise import denoise_file
from unfog.dmri.workflows.tables import Tables
from unfog.files.nifti import Volume, read_nifti, write_nifti

Array = Any
ORDER, FOLDS, LAMBDAS = 4, 5, (0.0, 0.002, 0.006)
SCANS = {"small_64D": 0, "small_101D": 3}  # and the highest power of b


def design(gradients: GradientTable, powers: int) -> tuple[Array, Array]:
    """The predictor's columns (volumes, count) and their penalties (count,); b = 0 is the same in
    every direction.
    """
    sphere = np.zeros((len(gradients), harmonics.count(ORDER)))
    sphere[:, 0] = harmonics.design(torch.eye(3)[:1], 0)[0, 0]
    weighted = ~gradients.b0
    sphere[weighted] = harmonics.design(
        torch.from_numpy(gradients.directions[weighted]), ORDER
    ).numpy()
    columns = [sphere * (gradients.bvals[:, None] / 1000) ** power for power in range(powers + 1)]
    degree = harmonics.degrees(ORDER).numpy()
    return np.concatenate(columns, 1), np.tile((degree * (degree + 1.0)) ** 2, powers + 1)


def predict(
    signal: Array, known: GradientTable, wanted: GradientTable, powers: int, ridge: float
) -> Array:
    """The signals of the table ``wanted`` from those of ``known``: b = 0 helps only where powers of
    b lead to it.
    """
    use = np.ones(len(known), bool) if powers else ~known.b0
    columns, penalty = design(known[use], powers)
    normal = columns.T @ columns + np.diag(
        ridge * penalty + 1e-6
    )  # the least that makes it regular
    return signal[..., use] @ np.linalg.solve(normal, columns.T).T @ design(wanted, powers)[0].T


def through_files(
    volume: Volume, y: Array, known: GradientTable, unbias: bool
) -> tuple[Array, Array, dict[str, Any]]:
    """The scan after ``unfog dmri denoise``, the noise it found, and its summary."""
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        write_nifti(here / "dwi.nii.gz", y, volume)
        write_fsl(known, here / "dwi.bval", here / "dwi.bvec", volume.affine)
        tables = Tables(here / "dwi.bval", here / "dwi.bvec")
        summary = denoise_file(here / "dwi.nii.gz", tables, here / "out", unbias=unbias)
        return (
            read_nifti(here / "out/dwi_denoised.nii.gz").data,
            read_nifti(here / "out/noise.nii.gz").data,
            summary,
        )


def fold(volume: Volume, gradients: GradientTable, held: Array, powers: int) -> dict[str, Any]:
    """Errors of one fold by method and lambda, and what unfog said of the scan."""
    from dipy.denoise.localpca import mppca

    rest = np.setdiff1d(np.arange(len(gradients)), held)
    y, known, wanted, truth = (
        volume.data[..., rest].copy(),
        gradients[rest],
        gradients[held],
        volume.data[..., held],
    )
    biased, _, _ = through_files(volume, y, known, False)
    signal, sigma, summary = through_files(volume, y, known, True)

    def error(data: Array, ridge: float, then: Callable[[Array], Array] = lambda x: x) -> float:
        return round(
            float(
                np.sqrt(np.mean((then(predict(data, known, wanted, powers, ridge)) - truth) ** 2))
            ),
            4,
        )

    methods: dict[str, tuple[Any, ...]] = {
        "raw": (y,),
        "mppca": (mppca(y),),
        "unfog, bias kept": (biased,),
        "unfog": (signal, lambda nu: magnitude_mean(np.maximum(nu, 0), sigma[..., None])),
    }
    errors = {
        name: {f"{ridge:g}": error(data, ridge, *then) for ridge in LAMBDAS}
        for name, (data, *then) in methods.items()
    }
    told = {
        key: summary.get(key)
        for key in (
            "noise",
            "noise correlation",
            "components",
            "removed over noise",
            "prior",
            "warnings",
        )
    }
    return {"errors": errors, "unfog": told}


def scan(name: str, powers: int) -> dict[str, Any]:
    """All folds of one scan, and in how many unfog's error is below MPPCA's."""
    from dipy.data import get_fnames

    path, bvals, bvecs = get_fnames(name=name)
    volume = read_nifti(Path(path))
    gradients = read_fsl(bvals, bvecs, volume.affine, volume.data.shape[3])
    mixed = np.random.default_rng(0).permutation(np.flatnonzero(~gradients.b0))
    folds = [fold(volume, gradients, held, powers) for held in np.array_split(mixed, FOLDS)]
    won = {
        ours: {
            f"{ridge:g}": sum(
                one["errors"][ours][f"{ridge:g}"] < one["errors"]["mppca"][f"{ridge:g}"]
                for one in folds
            )
            for ridge in LAMBDAS
        }
        for ours in ("unfog", "unfog, bias kept")
    }
    return {"shape": list(volume.data.shape), "folds below mppca": won, "folds": folds}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = {name: scan(name, powers) for name, powers in SCANS.items()}
    units = "root mean square against the magnitudes held out, in the scan's units"
    write_record(
        {"units": units, "folds": FOLDS, "results": results},
        (unfog, torch, np, nib, dipy),
        options.out,
    )


if __name__ == "__main__":
    main()
