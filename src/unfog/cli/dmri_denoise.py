"""``unfog dmri denoise``."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from unfog.cli.dmri_options import (
    B0,
    Bvals,
    Bvecs,
    Coils,
    Drop,
    Dwi,
    Grad,
    Layout,
    Mask,
    Method,
    NetworkSteps,
    PhaseFile,
    PhaseUnit,
    Sessions,
    Subjects,
    Unbias,
    Vectors,
    volume_numbers,
)
from unfog.cli.options import AsJson, In, Out, Precision, Seed, emit
from unfog.errors import InputError


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
    from unfog.dmri.workflows.tables import Tables

    if method is Method.ddm2:
        if prior != "dmri-refiner" or phase is not None:
            raise InputError("The method ddm2 takes neither --prior nor --phase; leave it out.")
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
        mask=mask or phase,
        subjects=subject,
        sessions=session,
        grouping=alone if method is Method.ddm2 else fitting_together,
    )
    emit(summary, as_json)
