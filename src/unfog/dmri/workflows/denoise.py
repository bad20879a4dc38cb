"""``unfog dmri denoise``: a diffusion scan by low rank and a prior, from files to files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.checks.dropout import dropped_slices
from unfog.dmri.checks.quality import residual_autocorrelation, signal_to_noise
from unfog.dmri.checks.residuals import by_shell, over_noise, stability
from unfog.dmri.checks.warnings import removed_over_noise, too_much_removed
from unfog.dmri.denoising.blind import has_enough_directions, refine, refine_by_group
from unfog.dmri.denoising.classical import MP, Denoised
from unfog.dmri.harmonics import count
from unfog.dmri.rician import magnitude_error, variance_share
from unfog.dmri.shells import ORDER
from unfog.dmri.workflows.encodings import Encodings
from unfog.dmri.workflows.groups import Groups, groups_of
from unfog.dmri.workflows.noise_files import NoiseFiles
from unfog.dmri.workflows.report import report_page
from unfog.dmri.workflows.scan import NOT_KNOWN, REFINER, Series, left_out_warning
from unfog.dmri.workflows.tables import Phase, Tables
from unfog.errors import InputError
from unfog.files.folder import Job, job
from unfog.runs.machine import AUTO, in_precision, resolve
from unfog.runs.run import Run

NOT_TOLD = Encodings()


def denoise_file(
    dwi: Path,
    tables: Tables,
    out: Path,
    *,
    mask: Path | None = None,
    coils: int | None = None,
    unbias: bool = True,
    prior: str = REFINER,
    phase: Path | None = None,
    phase_unit: str | None = None,
    known: NoiseFiles = NOT_KNOWN,
    encodings: Encodings = NOT_TOLD,
    noise_level: str = MP,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Denoise a scan into a new folder, by low rank and then by a prior.

    The folder holds dwi_denoised and its table, noise, residual, expected_error, mask, report.html
    and summary.json.

    Args:
        dwi: The scan, of magnitudes or of complex numbers.
        tables: Its gradients.
        out: The new folder.
        mask: A file above 0 where to work; the head is denoised without one.
        coils: Channels combined by sum of squares; read from the air by default.
        unbias: Whether what noise adds to magnitudes is taken away.
        prior: A run's folder, the name of a shipped prior, or "none" for low rank alone.
        phase: The phase of a scan of magnitudes, which is taken away: noise has no floor then.
        phase_unit: Of its values; told from their range by default.
        known: What is known of the noise over space: volumes without excitation, or a map.
        encodings: Which volumes have one phase encoding; told from the data by default.
        noise_level: How noise is estimated, one of ``NOISE_LEVELS``.
        precision: "bf16", "fp32", or "auto" for the faster one here.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: A file cannot be read, or the files do not belong together.
    """
    taken = Phase.of(dwi, phase, phase_unit)
    if taken is not None and coils is not None and coils > 1:
        raise InputError("Coils combined by sum of squares have no phase; leave --coils out.")
    with job(out, dwi, *tables.files, mask, phase, *known.files) as work:
        run = None if prior == "none" else Run.open(prior)
        if taken is not None:
            taken = replace(taken, report=work.progress("phase"))
        series = Series.open(dwi, tables, mask, taken, replace(known, coils=coils))
        left_out = {*tables.drop, *known.volumes}
        count = len(series.gradients) + len(left_out)
        group = encodings.groups(count, sorted(left_out))
        summary = _denoised(work, run, series, group, coils, unbias, noise_level, precision)
        if taken is not None:
            summary["phase"] = taken.name
        return work.end(summary)


def _denoised(
    work: Job,
    run: Run | None,
    series: Series,
    group: NDArray[np.int64] | None,
    coils: int | None,
    unbias: bool,
    noise_level: str,
    precision: str,
) -> dict[str, Any]:
    """The work of ``denoise_file`` on an open scan, whose volumes may be known to be of groups."""
    data, gradients, inside = series.volume.data, series.gradients, series.inside
    # Low rank.
    denoised = series.low_rank(coils, unbias, work.progress("denoising"), noise_level)
    groups = groups_of(series, denoised, group)
    options: dict[str, Any] = {"noise by": denoised.noise.method} | groups.summary
    if run is not None and has_enough_directions(gradients):
        denoised = _refined(work, run, series, denoised, groups, precision)
        options |= {"prior": run.name, "prior sha256": run.weights_sha256}
        options |= {"precision": resolve(precision)}
    maps = {
        "dwi_denoised": denoised.signal,
        "noise": denoised.sigma,
        "residual": data - denoised.signal,
        "expected_error": denoised.expected_error,
        "mask": inside,
    }
    volumes = {name: series.like(values) for name, values in maps.items()}
    files = series.write(work.folder, volumes)
    series.write_table(work.folder / "dwi_denoised", gradients)
    summary = summary_of(series, denoised, options) | {"files": files}
    alone = left_out_warning(
        gradients, count(ORDER), "too few for the prior, so low rank alone denoised them"
    )
    if run is not None and alone:
        summary["warnings"].append(alone)
    summary["warnings"] += groups.warnings(run is not None)
    summary = work.hide(summary)
    work.write_report(report_page(volumes, gradients, summary).html())
    return summary


def _refined(
    work: Job, run: Run, series: Series, denoised: Denoised, groups: Groups, precision: str
) -> Denoised:
    """The scan denoised by the prior too, on the harmonics of each shell of each group."""
    table, inside = series.gradients.along(series.volume.affine), series.inside
    denoiser, report = in_precision(run.denoiser, precision), work.progress("refining")
    if groups.numbers is None or not groups.apart:
        return refine(denoiser, denoised, table, inside, report=report)
    return refine_by_group(denoiser, denoised, table, groups.numbers, inside, report=report)


def summary_of(series: Series, denoised: Denoised, options: dict[str, Any]) -> dict[str, Any]:
    """The contents of summary.json but for the files: the scan, the options and the checks.

    Args:
        series: The scan.
        denoised: The result.
        options: What it was denoised with.

    Returns:
        The summary, with its warnings.
    """
    data, gradients, inside = series.volume.data, series.gradients, series.inside
    common = series.summary(denoised, **options)
    noisy = common["noise"] > 0
    # What was removed, over the noise that was expected.
    noise_power = _noise_power(denoised, inside)
    removed = removed_over_noise((data - denoised.signal)[inside], noise_power)
    warnings = common.pop("warnings")
    shells = {}
    if noisy:
        if warning := too_much_removed(removed):
            warnings = [*warnings, warning]
        shells = signal_to_noise(
            denoised.signal, denoised.sigma, denoised.expected_error, inside, gradients
        )
    residual = over_noise(data - denoised.signal, denoised.sigma, inside)
    steady = stability(data, denoised.signal, inside, gradients)
    lags, white = residual_autocorrelation(data - denoised.signal, inside, gradients)
    return common | {
        "seed": None,
        "signal to noise": {b: one._asdict() for b, one in shells.items()},
        "residual autocorrelation": lags,
        "residual autocorrelation of white noise": white,
        "removed over noise by shell": {
            b: one._asdict() for b, one in by_shell(residual, gradients).items()
        },
        "b0 drift in %": steady.drift,
        "b0 mean over deviation": [steady.before, steady.after],
        "slices dropped out": [list(one) for one in dropped_slices(data, gradients, inside)],
        "removed over noise": float(np.sqrt(np.mean(removed**2))) if noisy else None,
        "warnings": warnings,
    }


def _noise_power(denoised: Denoised, inside: NDArray[np.bool_]) -> Callable[[int], NDArray[Any]]:
    """A function of a volume's number: the mean square of the noise in the voxels ``inside``, about
    the signal beneath, or about the mean magnitude where its bias is kept.
    """
    sigma, coils = denoised.sigma[inside], denoised.coils
    if not denoised.distribution.magnitudes:
        return lambda _: sigma**2
    if denoised.unbiased:
        return lambda k: magnitude_error(denoised.signal[inside, k], sigma, coils)
    return lambda k: sigma**2 * variance_share(denoised.signal[inside, k], sigma, coils)
