"""``unfog dmri denoise``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unfog.cli.dmri_options import (
    B0,
    Acqp,
    Bvals,
    Bvecs,
    Coils,
    Drop,
    Dwi,
    Grad,
    Index,
    Layout,
    Mask,
    Method,
    NetworkSteps,
    NoiseBy,
    NoiseLevel,
    NoiseMapFile,
    Norf,
    PhaseFile,
    PhaseUnit,
    Sessions,
    Subjects,
    Unbias,
    Vectors,
    volume_numbers,
)
from unfog.cli.options import AsJson, In, KeepNames, Out, Precision, Seed, emit
from unfog.errors import InputError

if TYPE_CHECKING:
    from unfog.dmri.workflows.noise_files import NoiseFiles


def denoise(
    dwi: Dwi,
    out: Out,
    bvals: Bvals = None,
    bvecs: Bvecs = None,
    grad: Grad = None,
    layout: Vectors = Layout.auto,
    b0_threshold: B0 = None,
    drop_volumes: Drop = None,
    mask: Mask = None,
    coils: Coils = None,
    unbias: Unbias = True,
    prior: Annotated[
        str, typer.Option(metavar="RUN", help="The prior that follows low rank, or none.")
    ] = "dmri-refiner",
    phase: PhaseFile = None,
    phase_unit: PhaseUnit = None,
    norf: Norf = None,
    noise_map: NoiseMapFile = None,
    acqp: Acqp = None,
    index: Index = None,
    noise_level: NoiseBy = NoiseLevel.mp,
    precision: In = Precision.auto,
    method: Annotated[
        Method,
        typer.Option(
            help="Low rank and a prior, or a diffusion model learned from this scan alone."
        ),
    ] = Method.prior,
    steps: NetworkSteps = 2000,
    seed: Seed = 0,
    subject: Subjects = None,
    session: Sessions = None,
    keep_names: KeepNames = False,
    as_json: AsJson = False,
) -> None:
    """Denoise a diffusion scan.

    Writes dwi_denoised with its table, the noise level, the residual, the error to expect and the
    mask, report.html, and summary.json with warnings. The method ddm2 learns from the scan alone,
    for hours on a whole head, and writes no error and no report.
    """
    from unfog.dmri.workflows.bids import each_scan
    from unfog.dmri.workflows.bids_groups import alone, fitting_together
    from unfog.dmri.workflows.ddm2 import ddm2_file
    from unfog.dmri.workflows.denoise import denoise_file
    from unfog.dmri.workflows.encodings import Encodings
    from unfog.dmri.workflows.tables import Tables
    from unfog.files import names

    names.keep_names(keep_names)
    if method is Method.ddm2:
        of_prior = (phase, norf, noise_map, acqp, index)
        if prior != "dmri-refiner" or any(of_prior) or noise_level != "mp":
            raise InputError(
                "The method ddm2 takes no --prior, --phase, --norf, --noise-map, --acqp, --index "
                "or --noise-level; leave it out."
            )
        work = partial(ddm2_file, mask=mask, coils=coils, unbias=unbias, steps=steps, seed=seed)
    else:
        work = partial(
            denoise_file,
            mask=mask,
            coils=coils,
            unbias=unbias,
            prior=prior,
            phase=phase,
            phase_unit=phase_unit,
            known=_known(norf, noise_map),
            encodings=Encodings(acqp, index),
            noise_level=noise_level.value,
            precision=precision.value,
        )
    dropped = volume_numbers(drop_volumes)
    tables = Tables(bvals, bvecs, grad, layout.value, threshold=b0_threshold, drop=dropped)
    summary = each_scan(
        dwi,
        tables,
        out,
        work,
        command="unfog dmri denoise",
        of_one=mask or phase or norf or noise_map or acqp or index,
        subjects=subject,
        sessions=session,
        grouping=alone if method is Method.ddm2 else fitting_together,
    )
    emit(summary, as_json)


def _known(norf: str | None, noise_map: Path | None) -> NoiseFiles:
    """What is known of the noise, by the two options."""
    from unfog.dmri.workflows.noise_files import NoiseFiles

    if norf is not None and noise_map is not None:
        raise InputError("Give --norf or --noise-map, one description of the noise.")
    if norf is None or Path(norf).exists() or not norf[:1].isdigit():
        return NoiseFiles(norf=None if norf is None else Path(norf), level=noise_map)
    return NoiseFiles(volumes=volume_numbers(norf))
