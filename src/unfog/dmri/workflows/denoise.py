"""Diffusion MRI from files to files: what ``unfog dmri`` does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.core.denoiser import InBfloat16
from unfog.dmri.checks.quality import residual_autocorrelation, signal_to_noise
from unfog.dmri.checks.warnings import removed_over_noise, too_much_removed
from unfog.dmri.denoising.blind import has_enough_directions, refine
from unfog.dmri.denoising.classical import Denoised, denoise
from unfog.dmri.gradients import write_fsl
from unfog.dmri.rician import magnitude_error, variance_share
from unfog.dmri.workflows.report import report_page
from unfog.dmri.workflows.scan import REFINER, Series, Tables
from unfog.files.folder import check_new, new_folder, write_summary
from unfog.progress import progress_line
from unfog.runs.run import Run


def denoise_file(
    dwi: Path,
    tables: Tables,
    out: Path,
    *,
    mask: Path | None = None,
    coils: int = 1,
    unbias: bool = True,
    prior: str = REFINER,
) -> dict[str, Any]:
    """Denoise a scan into the new folder ``out``, by low rank and then by a ``prior``, a run or
    ``none``.

    It holds dwi_denoised and its table, noise, residual, expected_error, mask, report.html and
    summary.json.
    """
    check_new(out)
    run = None if prior == "none" else Run.open(prior)
    series = Series.open(dwi, tables, mask)
    data, gradients, inside = series.volume.data, series.gradients, series.inside
    begun = time.perf_counter()
    found = denoise(
        data, gradients, inside, coils=coils, unbias=unbias, report=progress_line("denoising")
    )
    options: dict[str, Any] = {"coils": coils, "bias removed": unbias}
    if run is not None and has_enough_directions(gradients):
        table = gradients.along(series.volume.affine)
        found = refine(
            InBfloat16(run.denoiser), found, table, inside, report=progress_line("refining")
        )
        options |= {"prior": run.name, "prior sha256": run.weights_sha256}
    maps = {
        "dwi_denoised": found.signal,
        "noise": found.sigma,
        "residual": data - found.signal,
        "expected_error": found.expected_error,
        "mask": inside,
    }
    with new_folder(out) as folder:
        volumes = {name: series.like(values) for name, values in maps.items()}
        files = series.write(folder, volumes)
        write_fsl(
            gradients,
            folder / "dwi_denoised.bval",
            folder / "dwi_denoised.bvec",
            series.stored.affine,
        )
        removed = removed_over_noise(
            volumes["residual"].data[inside], _noise_power(found, inside, coils, unbias)
        )
        summary = _summary(series, found, options, removed) | {"files": files}
        if run is not None and not has_enough_directions(gradients):
            summary["warnings"].append(
                "A shell has fewer than 15 directions, too few for the prior: this is low rank "
                "alone."
            )
        report_page(volumes, gradients, summary).write(folder / "report.html")
        write_summary(folder, summary)
    return {"out": str(out), **summary, "seconds": round(time.perf_counter() - begun, 1)}


def _summary(
    series: Series, found: Denoised, options: dict[str, Any], removed: NDArray[Any]
) -> dict[str, Any]:
    """What is worth knowing of the scan and of what was done to it."""
    data, gradients, inside = series.volume.data, series.gradients, series.inside
    common = series.summary(found, **options)
    noisy = common["noise"] > 0
    told = common.pop("warnings") + [
        text for text in (too_much_removed(removed) if noisy else None,) if text
    ]
    shells = (
        signal_to_noise(found.signal, found.sigma, found.expected_error, inside, gradients)
        if noisy
        else {}
    )
    lags, white = residual_autocorrelation(data - found.signal, inside, gradients)
    return common | {
        "seed": None,
        "signal to noise": {b: one._asdict() for b, one in shells.items()},
        "residual autocorrelation": lags,
        "residual autocorrelation of white noise": white,
        "removed over noise": float(np.sqrt(np.mean(removed**2))) if noisy else None,
        "warnings": told,
    }


def _noise_power(
    found: Denoised, inside: NDArray[np.bool_], coils: int, unbias: bool
) -> Callable[[int], NDArray[Any]]:
    """The power of the noise in the voxels of a volume: about the signal beneath, or about the mean
    magnitude where its bias is kept.
    """
    sigma = found.sigma[inside]
    if unbias:
        return lambda k: magnitude_error(found.signal[inside, k], sigma, coils)
    return lambda k: sigma**2 * variance_share(found.signal[inside, k], sigma, coils)
