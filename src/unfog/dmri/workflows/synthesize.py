"""``unfog dmri synthesize``: a phantom scan with its ground truth as files, to test processing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from unfog.core.random import generator
from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.masks import brain_mask
from unfog.dmri.simulation.anatomy import Anatomy, anatomy_like, anatomy_of_maps, mni_anatomy
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.dmri.simulation.phantom import Phantom, make_phantom
from unfog.dmri.workflows.tables import Tables, read_series
from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.nifti import new_volume, read_nifti, write_nifti
from unfog.version import __version__

WHITE = 1000.0  # the signal of white matter without weighting, in the files
FRACTIONS = ["callosal", "corticospinal", "association", "grey matter", "fluid", "lesion"]


def synthesize_files(
    tables: Tables,
    out: Path,
    *,
    snr: float,
    coils: int = 1,
    tissue: tuple[Path, Path, Path] | None = None,
    like: Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Simulate a scan, and write it with its ground truth into a new folder.

    The folder holds dwi and its table, dwi_noisefree, directions (X, Y, Z, 9) and fractions (X, Y,
    Z, 6) of the fibres and tissues, mask and summary.json.

    Args:
        tables: The gradients.
        out: The new folder.
        snr: White matter's signal without weighting over the noise's standard deviation.
        coils: Channels combined by sum of squares.
        tissue: Files of the maps of white matter, grey matter and fluid, from 0 to 1; by default
            the middle of the MNI152 template.
        like: A scan with the same table, whose tissues are taken instead.
        seed: Of fibres and noise.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: Options contradict each other, or a file cannot be read.
    """
    with job(out) as work:
        if not (math.isfinite(snr) and snr > 0):
            raise InputError(f"The signal-to-noise ratio is a number above 0, not {snr:g}.")
        if tissue and like:
            raise InputError("Give --tissue or --like, but not both.")
        gradients, anatomy, space = _setting(tables, tissue, like)
        if not gradients.b0.any():
            raise InputError(
                "The table has no b0, where the signal-to-noise ratio is stated; add one."
            )
        phantom = make_phantom(gradients, seed, anatomy)
        summary = {
            "unfog": __version__,
            "seed": seed,
            "snr": snr,
            "coils": coils,
            "noise": WHITE / snr,
            "volumes": len(gradients),
            "voxels": int(phantom.mask.sum()),
            "white matter": int(phantom.white.sum()),
            "anatomy": "tissue maps" if tissue else "a scan" if like else "MNI152",
            "fractions": FRACTIONS,
            "files": _write(work.folder, phantom, gradients, space, WHITE / snr, coils, seed),
        }
        return work.end(summary)


def _write(
    folder: Path,
    phantom: Phantom,
    gradients: GradientTable,
    space: str,
    sigma: float,
    coils: int,
    seed: int,
) -> list[str]:
    """Write the scan with noise of deviation ``sigma`` and the truth; returns the maps' names."""
    scale = WHITE / phantom.b0
    clean = torch.from_numpy(scale * phantom.signal).float().movedim(3, 0)
    noisy = add_magnitude_noise(clean, sigma, generator(seed, "noise"), coils)
    maps = {
        "dwi": noisy.movedim(0, 3).numpy(),
        "dwi_noisefree": clean.movedim(0, 3).numpy(),
        "fractions": phantom.fractions,
        "directions": phantom.directions.reshape(*phantom.mask.shape, -1),
        "mask": phantom.mask,
    }
    grid = new_volume(maps["dwi"], phantom.affine, code=space)
    files = [
        write_nifti(folder / f"{name}.nii.gz", values, grid).name for name, values in maps.items()
    ]
    bvals, bvecs = (folder / f"dwi.{kind}" for kind in ("bval", "bvec"))
    write_fsl(gradients, bvals, bvecs, phantom.affine)
    return files


def _setting(
    tables: Tables, tissue: tuple[Path, Path, Path] | None, like: Path | None
) -> tuple[GradientTable, Anatomy, str]:
    """The table, the anatomy and the name of its space."""
    if like is not None:
        volume, gradients = read_series(like, tables)
        inside = brain_mask(volume, gradients)
        anatomy = anatomy_like(volume.data, gradients, inside, volume.affine)
        return gradients, anatomy, "scanner"
    if tissue is not None:
        white, grey, fluid = (read_nifti(path) for path in tissue)
        return tables.read(white.affine), anatomy_of_maps(white, grey, fluid), "scanner"
    anatomy = mni_anatomy()
    return tables.read(anatomy.affine), anatomy, "mni"
