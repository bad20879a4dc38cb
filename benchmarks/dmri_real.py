"""Real scans: volumes held out are predicted from the others, denoised by unfog, by DIPY's MPPCA
and Patch2Self, by MRtrix's dwidenoise (where it is), or not at all.

    python benchmarks/dmri_real.py --out benchmarks/results/dmri_real.json
    python benchmarks/dmri_real.py nlsam --sets FOLDER     # that nlsam-1.0.tar.gz was unpacked in

The scans are DIPY's small_64D and small_25 (one shell; the latter two slices thin), small_101D (a
grid in q-space, whose b-values are too many for the prior, so low rank alone), and the crop of a
brain that the tests of nlsam 1.0 carry, judged where its mask holds tissue. In each of five folds a
fifth of the weighted volumes is set aside before anything else is done. What is left is denoised,
and one predictor for all reads the others from it: ridge regression on spherical harmonics to order
4, times powers of b where b varies, with the Laplace-Beltrami penalty lambda (Descoteaux et al.
2007, whose .006 is the one to look at; 0 and .002 stand beside it), and on one shell a tensor.

The error is that against the magnitudes held out, so most of it is their own noise. unfog runs from
files to files, as its command does. With ``--keep-bias`` it estimates the mean magnitude, as MPPCA
does: those two are alike. Without, as by default, it estimates the signal beneath, whose prediction
is then given the bias of magnitudes again, at the noise that unfog found, where it took any away.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dipy
import nibabel as nib
import numpy as np
import torch
from dmri_complete import tensor
from dmri_denoise import OPTIONAL, dwidenoise, patch2self
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
SCANS = {"small_64D": 0, "small_101D": 3, "small_25": 0}  # and the highest power of b
NLSAM = "nlsam-1.0/nlsam/tests/datasets"
TENSOR = "tensor"
LEAST = 0.01  # of b = 0: a tensor takes no logarithm of less
TISSUE = 80  # a mean of all volumes well above nlsam's air, which has 20 to 40
TOLD = (
    *("noise", "noise correlation", "components", "removed over noise", "bias removed"),
    *("prior", "warnings"),
)


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


def peers(y: Array, known: GradientTable) -> dict[str, Array]:
    """The scan denoised by others; those that look through a window of five voxels get no thinner
    scan.
    """
    from dipy.denoise.localpca import mppca

    others = {"raw": y, "patch2self": patch2self(y, known)}
    if min(y.shape[:3]) < 5:
        return others
    others["mppca"] = mppca(y)
    return others | ({OPTIONAL: dwidenoise(y)} if shutil.which(OPTIONAL) else {})


def fold(
    volume: Volume, gradients: GradientTable, brain: Array, held: Array, powers: int
) -> dict[str, Any]:
    """Errors in the brain of one fold by method and predictor, and what unfog said of the scan."""
    rest = np.setdiff1d(np.arange(len(gradients)), held)
    y, truth = volume.data[..., rest].copy(), volume.data[..., held]
    known, wanted = gradients[rest], gradients[held]
    biased, _, _ = through_files(volume, y, known, False)
    signal, sigma, summary = through_files(volume, y, known, True)
    predictors: dict[str, Callable[[Array], Array]] = {
        f"{ridge:g}": partial(predict, known=known, wanted=wanted, powers=powers, ridge=ridge)
        for ridge in LAMBDAS
    }
    if not powers:
        least = LEAST * float(y[..., known.b0].mean())
        predictors[TENSOR] = lambda x: tensor(np.maximum(x, least), known, wanted)

    def errors(data: Array, then: Callable[[Array], Array] = lambda x: x) -> dict[str, float]:
        return {
            name: round(float(np.sqrt(np.mean(((then(predict(data)) - truth)[brain]) ** 2))), 4)
            for name, predict in predictors.items()
        }

    def magnitudes(nu: Array) -> Array:
        return magnitude_mean(np.maximum(nu, 0), sigma[..., None])

    found = {name: errors(data) for name, data in peers(y, known).items()}
    found["unfog, bias kept"] = errors(biased)
    found["unfog"] = errors(signal, *([magnitudes] if summary["bias removed"] else []))
    return {"errors": found, "unfog": {key: summary.get(key) for key in TOLD}}


def read(name: str, sets: Path | None) -> tuple[Volume, GradientTable, Array]:
    """A scan with its table, and where it is judged: where the mask that comes with it holds
    tissue, or all of it. No method is given the mask.
    """
    from dipy.data import get_fnames

    if name == "nlsam":
        if sets is None:
            raise SystemExit("nlsam needs --sets, the folder that nlsam-1.0.tar.gz was unpacked in")
        paths = [sets / NLSAM / file for file in ("dwi_crop.nii.gz", "bvals", "bvecs")]
    else:
        paths = [Path(path) for path in get_fnames(name=name)]
    volume = read_nifti(paths[0])
    table = read_fsl(*paths[1:], volume.affine, volume.data.shape[3])
    mask = paths[0].with_name("mask_crop.nii.gz")
    if not mask.exists():
        return volume, table, np.ones(volume.data.shape[:3], bool)
    return volume, table, (read_nifti(mask).data > 0) & (volume.data.mean(-1) > TISSUE)


def scan(name: str, powers: int, sets: Path | None) -> dict[str, Any]:
    """All folds of one scan, and in how many unfog's error is the least."""
    volume, gradients, brain = read(name, sets)
    mixed = np.random.default_rng(0).permutation(np.flatnonzero(~gradients.b0))
    folds = [fold(volume, gradients, brain, held, powers) for held in np.array_split(mixed, FOLDS)]
    one = folds[0]["errors"]
    others = [method for method in one if not method.startswith("unfog")]
    first = {
        ours: {
            by: sum(
                f["errors"][ours][by] < min(f["errors"][other][by] for other in others)
                for f in folds
            )
            for by in one[ours]
        }
        for ours in ("unfog", "unfog, bias kept")
    }
    sys.stderr.write(f"{name}: {first}\n")
    return {"shape": list(volume.data.shape), "folds in which first": first, "folds": folds}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scans", nargs="*", help=f"of {', '.join(SCANS)}, nlsam; DIPY's by default")
    parser.add_argument("--sets", type=Path, help="the folder of nlsam-1.0")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    known = options.out is not None and options.out.exists()
    results = json.loads(options.out.read_text())["results"] if known else {}
    units = "root mean square against the magnitudes held out, in the scan's units"
    for name in options.scans or SCANS:
        results[name] = scan(name, SCANS.get(name, 0), options.sets)
        write_record(
            {"units": units, "folds": FOLDS, "results": results},
            (unfog, torch, np, nib, dipy),
            options.out,
        )


if __name__ == "__main__":
    main()
