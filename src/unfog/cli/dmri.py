"""``unfog dmri``: diffusion MRI."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.dmri_denoise import denoise
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
    Sessions,
    Subjects,
    Unbias,
    Vectors,
    volume_numbers,
)
from unfog.cli.options import AsJson, In, KeepNames, Out, Precision, Seed, emit

dmri = typer.Typer(
    name="dmri",
    help="Diffusion MRI: denoise, complete, fod, synthesize, report.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


dmri.command(epilog="Example:  unfog dmri denoise dwi.nii.gz --grad dwi.b --out denoised")(denoise)


@dmri.command(
    epilog="Example:  unfog dmri complete dwi.nii.gz --grad dwi.b --target-grad all.b --out full"
)
def complete(
    dwi: Dwi,
    out: Out,
    bvals: Bvals = None,
    bvecs: Bvecs = None,
    grad: Grad = None,
    layout: Vectors = Layout.auto,
    target_bvals: Annotated[
        Path | None, typer.Option(metavar="FILE", help="b-values of the volumes to make.")
    ] = None,
    target_bvecs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Their vectors, on the scan's grid.")
    ] = None,
    target_grad: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An MRtrix table, in place of the two.")
    ] = None,
    b0_threshold: B0 = None,
    drop_volumes: Drop = None,
    mask: Mask = None,
    coils: Coils = None,
    unbias: Unbias = True,
    prior: Annotated[
        str, typer.Option(metavar="RUN", help="The prior that predicts.")
    ] = "dmri-refiner",
    precision: In = Precision.auto,
    subject: Subjects = None,
    session: Sessions = None,
    keep_names: KeepNames = False,
    as_json: AsJson = False,
) -> None:
    """Make the volumes of another gradient table.

    Writes dwi_completed with its table, std (the standard deviation to expect of each volume's
    error), report.html and summary.json. Every shell of the target must have been measured, in 6
    directions or more.
    """
    from unfog.dmri.workflows.bids import each_scan
    from unfog.dmri.workflows.complete import complete_file
    from unfog.dmri.workflows.tables import Tables
    from unfog.files import names

    names.keep_names(keep_names)
    target = Tables(target_bvals, target_bvecs, target_grad, layout.value, "target-", b0_threshold)
    work = partial(
        complete_file,
        target=target,
        mask=mask,
        coils=coils,
        unbias=unbias,
        prior=prior,
        precision=precision.value,
    )
    dropped = volume_numbers(drop_volumes)
    tables = Tables(bvals, bvecs, grad, layout.value, threshold=b0_threshold, drop=dropped)
    summary = each_scan(
        dwi,
        tables,
        out,
        work,
        command="unfog dmri complete",
        of_one=mask,
        subjects=subject,
        sessions=session,
    )
    emit(summary, as_json)


@dmri.command(
    epilog="Example:  unfog dmri fod dwi.nii.gz --bvals dwi.bval --bvecs dwi.bvec --samples 50 "
    "--out fibres"
)
def fod(
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
    samples: Annotated[
        int, typer.Option(min=2, help="Posterior draws; cones of few are too narrow.")
    ] = 200,
    prior: Annotated[str, typer.Option(metavar="RUN", help="The prior to draw from.")] = "dmri",
    precision: In = Precision.auto,
    seed: Seed = 0,
    subject: Subjects = None,
    session: Sessions = None,
    keep_names: KeepNames = False,
    as_json: AsJson = False,
) -> None:
    """Find where fibres point, and how surely. Give the scan as it was acquired: noise that was
    denoised is not white.

    Writes direction (world axes), cone95 and cone50 in degrees, fa_mean, fa_std, md_mean, md_std,
    trust (1 where these are to be believed, or 0), fod_sh_samples (densities of fibres, one draw
    after the other, 15 coefficients each as MRtrix has them), report.html and summary.json. Of
    several shells it takes the one with most directions between b = 700 and 3000.
    """
    from unfog.dmri.workflows.bids import each_scan
    from unfog.dmri.workflows.fod import fod_file
    from unfog.dmri.workflows.tables import Tables
    from unfog.files import names

    names.keep_names(keep_names)
    work = partial(
        fod_file,
        mask=mask,
        coils=coils,
        unbias=unbias,
        samples=samples,
        prior=prior,
        precision=precision.value,
        seed=seed,
    )
    dropped = volume_numbers(drop_volumes)
    tables = Tables(bvals, bvecs, grad, layout.value, threshold=b0_threshold, drop=dropped)
    summary = each_scan(
        dwi,
        tables,
        out,
        work,
        command="unfog dmri fod",
        of_one=mask,
        subjects=subject,
        sessions=session,
    )
    emit(summary, as_json)


@dmri.command(
    epilog="Example:  unfog dmri synthesize --bvals dwi.bval --bvecs dwi.bvec --snr 20 --out "
    "phantom"
)
def synthesize(
    out: Out,
    bvals: Bvals = None,
    bvecs: Bvecs = None,
    grad: Grad = None,
    layout: Vectors = Layout.auto,
    snr: Annotated[
        float,
        typer.Option(help="White matter's signal without diffusion weighting, over the noise."),
    ] = 20.0,
    coils: Annotated[int, typer.Option(min=1, help="Channels combined by sum of squares.")] = 1,
    tissue: Annotated[
        tuple[Path, Path, Path] | None,
        typer.Option(
            metavar="WM GM CSF", help="Maps from 0 to 1; the MNI152 template's middle without."
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(metavar="DWI", help="A scan with the same table, whose tissues to take."),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Synthesize a scan, and all that is true of it.

    Writes dwi and its table, dwi_noisefree, the directions and fractions of three fibre families,
    the mask, and summary.json.
    """
    from unfog.dmri.workflows.synthesize import synthesize_files
    from unfog.dmri.workflows.tables import Tables

    tables = Tables(bvals, bvecs, grad, layout.value)
    emit(
        synthesize_files(tables, out, snr=snr, coils=coils, tissue=tissue, like=like, seed=seed),
        as_json,
    )


@dmri.command(epilog="Example:  unfog dmri report denoised")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `unfog dmri denoise` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Write report.html into the folder of a denoised scan.

    One page that needs no other file: before, after, what was removed, noise, directions, warnings.
    """
    from unfog.dmri.workflows.report import write_report

    emit(write_report(folder), as_json)
