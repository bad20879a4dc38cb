"""Does what is learned on synthetic scans hold on real ones? Directions not measured, by a
predictor trained on either.

    python benchmarks/dmri_transfer.py --out benchmarks/results/dmri_transfer.json

The scans are DIPY's small_64D and small_101D. A fifth of the voxels, a block of the scan, is set
aside; the predictor reads every other weighted volume and b = 0 of a voxel and predicts the rest.
It is ridge regression, or a network of one hidden layer, and is trained

- on the real voxels that are left,
- on 20,000 voxels of `unfog dmri synthesize --like SCAN`, seed after seed, at the noise that `unfog
  dmri denoise` found,
- on as many of `unfog dmri synthesize` of the template, under the same table and noise.

Signals are over the scan's median at b = 0. The error is against the magnitudes measured in the
voxels set aside, noise included.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dipy
import numpy as np
import sklearn
import torch
from record import write_record
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import unfog
from unfog.dmri.gradient_files import read_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.workflows.denoise import denoise_file
from unfog.dmri.workflows.synthesize import synthesize_files
from unfog.dmri.workflows.tables import Tables
from unfog.files.nifti import read_nifti

Array = Any
FOLDS, MOST = 5, 20_000  # synthetic voxels
SCANS = ("small_64D", "small_101D")
MODELS: dict[str, Callable[[], Any]] = {
    "ridge": lambda: RidgeCV(np.logspace(-4, 3, 15)),
    "network": lambda: MLPRegressor(
        hidden_layer_sizes=(64,), alpha=1e-2, max_iter=300, early_stopping=True, random_state=0
    ),
}


def synthetic(tables: Tables, snr: float, like: Path | None) -> Array:
    """Voxels (n, volumes) in the masks of synthetic scans, one seed after the other; white matter
    about 1 at b = 0.
    """
    parts: list[Array] = []
    while sum(map(len, parts)) < MOST:
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "out"
            synthesize_files(tables, out, snr=snr, like=like, seed=len(parts))
            parts.append(
                read_nifti(out / "dwi.nii.gz").data[read_nifti(out / "mask.nii.gz").data > 0] / 1000
            )
    whole = np.concatenate(parts)
    return whole[np.random.default_rng(0).permutation(len(whole))[:MOST]]


def halves(gradients: GradientTable) -> tuple[Array, Array]:
    """The volumes that are read and those that are predicted: every other weighted one by b and
    then at random.
    """
    weighted = np.flatnonzero(~gradients.b0)
    mixed = np.random.default_rng(0).permutation(weighted)
    ordered = mixed[np.argsort(gradients.bvals[mixed], kind="stable")]
    return np.append(np.flatnonzero(gradients.b0), ordered[::2]), ordered[1::2]


def error(model: Any, training: Array, test: Array, read: Array, wanted: Array) -> float:
    """Root mean square over the voxels of ``test`` and the volumes ``wanted``."""
    scaled = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a network that had not quite ended
        scaled.fit(training[:, read], training[:, wanted])
    return float(np.sqrt(np.mean(np.square(scaled.predict(test[:, read]) - test[:, wanted]))))


def scan(name: str) -> dict[str, Any]:
    from dipy.data import get_fnames

    path, bvals, bvecs = (Path(each) for each in get_fnames(name=name))
    volume, tables = read_nifti(path), Tables(bvals, bvecs)
    gradients = read_fsl(bvals, bvecs, volume.affine, volume.data.shape[3])
    with tempfile.TemporaryDirectory() as scratch:
        noise = denoise_file(path, tables, Path(scratch) / "out")["noise"]
    unit = float(np.median(volume.data[..., gradients.b0]))
    y = (volume.data / unit).reshape(-1, len(gradients))
    snr, (read, wanted) = unit / noise, halves(gradients)
    sources = {
        "like the scan": synthetic(tables, snr, path),
        "template": synthetic(tables, snr, None),
    }
    errors: dict[str, dict[str, list[float]]] = {
        model: {source: [] for source in ("real", *sources)} for model in MODELS
    }
    for block in np.array_split(np.arange(len(y)), FOLDS):  # neighbours stay together
        rest = np.setdiff1d(np.arange(len(y)), block)
        for model, make in MODELS.items():
            for source, voxels in {"real": y[rest], **sources}.items():
                errors[model][source].append(error(make(), voxels, y[block], read, wanted))
    mean = {
        model: {source: float(np.sqrt(np.mean(np.square(each)))) for source, each in row.items()}
        for model, row in errors.items()
    }
    ratios = {
        model: {source: round(row[source] / row["real"], 4) for source in sources}
        for model, row in mean.items()
    }
    sys.stderr.write(f"{name}, SNR {snr:.1f}: {mean}, over real {ratios}\n")
    sizes = {
        "voxels": len(y),
        "synthetic voxels": {source: len(voxels) for source, voxels in sources.items()},
    }
    return {
        "snr": round(snr, 2),
        "read": len(read),
        "predicted": len(wanted),
        **sizes,
        "errors": mean,
        "over real": ratios,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    head = {"units": "of the median at b = 0", "folds": FOLDS, "goal": "at most 1.02 over real"}
    write_record(
        {**head, "results": {name: scan(name) for name in SCANS}},
        (unfog, torch, np, dipy, sklearn),
        options.out,
    )


if __name__ == "__main__":
    main()
