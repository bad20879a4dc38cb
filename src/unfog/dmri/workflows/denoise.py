"""``unfog dmri denoise``: a diffusion scan by low rank and a prior, from files to files."""

from __future__ import annotations

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
from unfog.dmri.rician import magnitude_error, variance_share
from unfog.dmri.workflows.report import report_page
from unfog.dmri.workflows.scan import REFINER, Series, Tables
from unfog.files.folder import Job, job
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
    with job(out) as work:
        return _denoised(work, dwi, tables, mask, coils, unbias, prior)


def _denoised(
    work: Job,
    dwi: Path,
    tables: Tables,
    mask: Path | None,
    coils: int,
    unbias: bool,
    prior: str,
) -> dict[str, Any]:
    run = None if prior == "none" else Run.open(prior)
    series = Series.open(dwi, tables, mask)
    data, gradients, inside = series.volume.data, series.gradients, series.inside
    found = denoise(
        data, gradients, inside, coils=coils, unbias=unbias, report=work.progress("denoising")
    )
    options: dict[str, Any] = {"coils": coils, "bias removed": unbias}
    if run is not None and has_enough_directions(gradients):
        table = gradients.along(series.volume.affine)
        report = work.progress("refining")
        found = refine(InBfloat16(run.denoiser), found, table, inside, report=report)
        options |= {"prior": run.name, "prior sha256": run.weights_sha256}
    maps = {
        "dwi_denoised": found.signal,
        "noise": found.sigma,
        "residual": data - found.signal,
        "expected_error": found.expected_error,
        "mask": inside,
    }
    volumes = {name: series.like(values) for name, values in maps.items()}
    files = series.write(work.folder, volumes)
    series.write_table(work.folder / "dwi_denoised", gradients)
    removed = removed_over_noise(
        volumes["residual"].data[inside], _noise_power(found, inside, coils, unbias)
    )
    summary = _summary(series, found, options, removed) | {"files": files}
    if run is not None and not has_enough_directions(gradients):
        summary["warnings"].append(
            "A shell has fewer than 15 directions, too few for the prior: this is low rank alone."
        )
    work.write_report(report_page(volumes, gradients, summary).html())
    return work.end(summary)


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
