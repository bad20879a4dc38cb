"""Diffusion MRI from files to files: what ``unfog dmri`` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog import __version__
from unfog.core.denoiser import InBfloat16
from unfog.data.volumes import as_stored, standing
from unfog.dmri.checks.quality import residual_autocorrelation, signal_to_noise
from unfog.dmri.checks.warnings import removed_over_noise, too_much_removed, warnings_of
from unfog.dmri.denoising.blind import enough, refine
from unfog.dmri.denoising.classical import Denoised, denoise
from unfog.dmri.gradients import GradientTable, read_fsl, read_mrtrix, write_fsl
from unfog.dmri.rician import magnitude_error, variance_share
from unfog.dmri.workflows.report import report_page
from unfog.errors import InputError, MissingExtra
from unfog.files.nifti import Volume, read_nifti, write_nifti
from unfog.runs.run import Run
from unfog.workflows.restore import check_new, new_folder, progress_line, write_summary

REFINER = "dmri-refiner"  # what follows low rank
PRIOR = "dmri"  # for raw signals, whose noise is white
AIR = 0.3  # of the head's signal: air is darker
STILL = 1.25  # signal at b = 0 over that with weighting: what moves less than water at 0.2e-3 mm^2/s is air


@dataclass(frozen=True)
class Tables:
    """The files that hold a scan's gradients: FSL's two, in a ``layout``, or MRtrix's one. Options that name them begin with ``prefix``."""

    bvals: Path | None = None
    bvecs: Path | None = None
    grad: Path | None = None
    layout: str = "auto"
    prefix: str = ""

    def read(self, affine: NDArray[np.float64], volumes: int | None = None) -> GradientTable:
        """The table of a scan with ``affine`` (4, 4) and so many ``volumes``."""
        if self.grad is not None:
            if self.bvals or self.bvecs:
                raise InputError(f"Give --{self.prefix}grad, or --{self.prefix}bvals and --{self.prefix}bvecs, but not both.")
            return read_mrtrix(self.grad, volumes)
        if self.bvals is None or self.bvecs is None:
            raise InputError(f"A scan needs its gradients: give --{self.prefix}bvals and --{self.prefix}bvecs, or --{self.prefix}grad.")
        return read_fsl(self.bvals, self.bvecs, affine, volumes, self.layout)


def read_series(dwi: Path, tables: Tables) -> tuple[Volume, GradientTable]:
    """A scan and its table; a bad table is refused before a large scan is read."""
    tables.read(np.eye(4))
    volume = read_nifti(dwi)
    if volume.data.ndim != 4:
        raise InputError(f"{dwi.name} has one volume; a diffusion scan is a series of them, so give the whole.")
    return volume, tables.read(volume.affine, volume.data.shape[3])


@dataclass(frozen=True)
class Series:
    """A scan as it is ``stored`` and upright, so that it has one answer whichever of the 48 ways its voxels are stored; its
    ``gradients`` in world axes; ``inside`` (X, Y, Z) where the head is, upright."""

    stored: Volume
    volume: Volume
    gradients: GradientTable
    inside: NDArray[np.bool_]

    @classmethod
    def open(cls, dwi: Path, tables: Tables, mask: Path | None = None) -> Series:
        """The scan in a file; the head is found, unless there is a ``mask``."""
        stored, gradients = read_series(dwi, tables)
        volume = standing(stored)
        inside = brain_mask(volume, gradients) if mask is None else standing(_mask(mask, stored)).data > 0
        return cls(stored, volume, gradients, inside)

    def like(self, data: NDArray[Any]) -> Volume:
        """Upright ``data`` (X, Y, Z[, T]) as a volume."""
        return replace(self.volume, data=np.asarray(data, dtype=np.float32))

    def write(self, folder: Path, maps: Mapping[str, Volume]) -> list[str]:
        """Write upright volumes as the scan is stored; the names of their files."""
        return [write_nifti(folder / f"{name}.nii.gz", as_stored(x.data, self.stored), self.stored).name for name, x in maps.items()]

    def summary(self, found: Denoised, **options: Any) -> dict[str, Any]:
        """What is worth knowing of the scan, of its noise and of what was done to it."""
        volume, gradients, inside = self.volume, self.gradients, self.inside
        return {
            "input": volume.path.name if volume.path else "", "unfog": __version__, "volumes": len(gradients),
            "b0 volumes": int(gradients.b0.sum()), "shells": sizes(gradients), "voxels": int(inside.sum()), **options,
            "noise": float(np.median(found.sigma[inside])),
            "noise correlation": [round(float(rho), 3) for rho in found.noise.correlation[:, 0]],
            "components": found.noise.components.axes.shape[1],
            "warnings": [*volume.notes, *warnings_of(volume.data, gradients, inside, volume.affine, found.noise)],
        }  # fmt: skip


def sizes(gradients: GradientTable) -> dict[str, int]:
    """The number of directions of each shell."""
    return {f"{b:.0f}": len(volumes) for b, volumes in gradients.shells().items()}


def denoise_file(
    dwi: Path, tables: Tables, out: Path, *, mask: Path | None = None, coils: int = 1, unbias: bool = True, prior: str = REFINER
) -> dict[str, Any]:
    """Denoise a scan into the new folder ``out``, by low rank and then by a ``prior``, a run or ``none``.

    It holds dwi_denoised and its table, noise, residual, expected_error, mask, report.html and summary.json.
    """
    check_new(out)
    run = None if prior == "none" else Run.open(prior)
    series = Series.open(dwi, tables, mask)
    data, gradients, inside = series.volume.data, series.gradients, series.inside
    begun = time.perf_counter()
    found = denoise(data, gradients, inside, coils=coils, unbias=unbias, report=progress_line("denoising"))
    options: dict[str, Any] = {"coils": coils, "bias removed": unbias}
    if run is not None and enough(gradients):
        table = gradients.along(series.volume.affine)
        found = refine(InBfloat16(run.denoiser), found, table, inside, report=progress_line("refining"))
        options |= {"prior": run.name, "prior sha256": run.weights_sha256}
    maps = {
        "dwi_denoised": found.signal, "noise": found.sigma, "residual": data - found.signal, "expected_error": found.expected_error,
        "mask": inside,
    }  # fmt: skip
    with new_folder(out) as folder:
        volumes = {name: series.like(values) for name, values in maps.items()}
        files = series.write(folder, volumes)
        write_fsl(gradients, folder / "dwi_denoised.bval", folder / "dwi_denoised.bvec", series.stored.affine)
        removed = removed_over_noise(volumes["residual"].data[inside], _noise_power(found, inside, coils, unbias))
        summary = _summary(series, found, options, removed) | {"files": files}
        if run is not None and not enough(gradients):
            summary["warnings"].append("A shell has fewer than 15 directions, too few for the prior: this is low rank alone.")
        report_page(volumes, gradients, summary).write(folder / "report.html")
        write_summary(folder, summary)
    return {"out": str(out), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def _summary(series: Series, found: Denoised, options: dict[str, Any], removed: NDArray[Any]) -> dict[str, Any]:
    """What is worth knowing of the scan and of what was done to it."""
    data, gradients, inside = series.volume.data, series.gradients, series.inside
    common = series.summary(found, **options)
    noisy = common["noise"] > 0
    told = common.pop("warnings") + [text for text in (too_much_removed(removed) if noisy else None,) if text]
    shells = signal_to_noise(found.signal, found.sigma, found.expected_error, inside, gradients) if noisy else {}
    lags, white = residual_autocorrelation(data - found.signal, inside, gradients)
    return common | {
        "seed": None, "signal to noise": {b: one._asdict() for b, one in shells.items()},
        "residual autocorrelation": lags, "residual autocorrelation of white noise": white,
        "removed over noise": float(np.sqrt(np.mean(removed**2))) if noisy else None, "warnings": told,
    }  # fmt: skip


def _noise_power(found: Denoised, inside: NDArray[np.bool_], coils: int, unbias: bool) -> Callable[[int], NDArray[Any]]:
    """The power of the noise in the voxels of a volume: about the signal beneath, or about the mean magnitude where its bias is kept."""
    sigma = found.sigma[inside]
    if unbias:
        return lambda k: magnitude_error(found.signal[inside, k], sigma, coils)
    return lambda k: sigma**2 * variance_share(found.signal[inside, k], sigma, coils)


def brain_mask(volume: Volume, gradients: GradientTable) -> NDArray[np.bool_]:
    """The head by DIPY's median Otsu on the volumes without diffusion weighting, or on all where there are none.

    Everything, where what that leaves out is not as dark as air, or is darker with diffusion weighting, which air is not: a crop
    inside a head has no air, and Otsu would part its fluid from its tissue.
    """
    try:
        from dipy.segment.mask import median_otsu
    except ImportError as error:
        raise MissingExtra("dmri", "DIPY") from error
    shown = gradients.b0 if gradients.b0.any() else ~gradients.b0
    mean, weighted = volume.data[..., shown].mean(-1), volume.data[..., ~gradients.b0].mean(-1)
    everything = np.ones(mean.shape, bool)
    if float(mean.max()) == float(mean.min()):
        return everything
    inside = np.asarray(median_otsu(mean, median_radius=2, numpass=1)[1], dtype=bool)
    if not inside.any() or inside.all():
        return everything
    outside = np.median(mean[~inside])
    dark, still = outside < AIR * np.median(mean[inside]), outside <= STILL * np.median(weighted[~inside])
    return inside if dark and still else everything


def _mask(path: Path, volume: Volume) -> Volume:
    given = read_nifti(path)
    if given.data.shape != volume.data.shape[:3] or not np.allclose(given.affine, volume.affine, atol=0.05 * min(volume.zooms)):
        raise InputError(f"{path.name} is not on the scan's grid (shape or affine differ); make the mask on it.")
    if not (given.data > 0).any():
        raise InputError(f"{path.name} is empty; mark the voxels to denoise with values above 0.")
    return given
