"""``unfog dmri``: diffusion MRI."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, Out, Seed, emit

dmri = typer.Typer(name="dmri", help="Diffusion MRI: denoise a scan, synthesize one, report.", rich_markup_mode=None, no_args_is_help=True)

Dwi = Annotated[Path, typer.Argument(metavar="DWI", help="The scan, NIfTI of four dimensions, before any resampling.")]
Bvals = Annotated[Path | None, typer.Option(metavar="FILE", help="FSL's b-values.")]
Bvecs = Annotated[Path | None, typer.Option(metavar="FILE", help="FSL's vectors, in three rows or three columns.")]
Grad = Annotated[Path | None, typer.Option(metavar="FILE", help="An MRtrix table, in place of the two.")]


class Layout(StrEnum):
    """How vectors lie in their file."""

    auto = "auto"
    rows = "rows"
    columns = "columns"


Vectors = Annotated[Layout, typer.Option(help="How the vectors lie in their file.")]


@dmri.command(epilog="Example:  unfog dmri denoise dwi.nii.gz --bvals dwi.bval --bvecs dwi.bvec --out denoised")
def denoise(
    dwi: Dwi,
    out: Out,
    bvals: Bvals = None,
    bvecs: Bvecs = None,
    grad: Grad = None,
    layout: Vectors = Layout.auto,
    mask: Annotated[Path | None, typer.Option(metavar="FILE", help="Above 0 where to denoise; found by itself without.")] = None,
    coils: Annotated[int, typer.Option(min=1, help="Channels combined by sum of squares: noise is non-central chi if over 1.")] = 1,
    unbias: Annotated[bool, typer.Option("--unbias/--keep-bias", help="Take away what noise adds to magnitudes.")] = True,
    prior: Annotated[str, typer.Option(metavar="RUN", help="The prior that follows low rank, or none.")] = "dmri",
    as_json: AsJson = False,
) -> None:
    """Denoise a diffusion scan.

    Writes dwi_denoised with its table, the noise level, the residual, the error to expect and the mask, report.html, and
    summary.json with warnings in words.
    """
    from unfog.systems.dmri import Tables, denoise_file

    emit(denoise_file(dwi, Tables(bvals, bvecs, grad, layout.value), out, mask=mask, coils=coils, unbias=unbias, prior=prior), as_json)


@dmri.command(epilog="Example:  unfog dmri synthesize --bvals dwi.bval --bvecs dwi.bvec --snr 20 --out phantom")
def synthesize(
    out: Out,
    bvals: Bvals = None,
    bvecs: Bvecs = None,
    grad: Grad = None,
    layout: Vectors = Layout.auto,
    snr: Annotated[float, typer.Option(help="White matter's signal without diffusion weighting, over the noise.")] = 20.0,
    coils: Annotated[int, typer.Option(min=1, help="Channels combined by sum of squares.")] = 1,
    tissue: Annotated[
        tuple[Path, Path, Path] | None, typer.Option(metavar="WM GM CSF", help="Maps from 0 to 1; the MNI152 template's middle without.")
    ] = None,
    like: Annotated[Path | None, typer.Option(metavar="DWI", help="A scan with the same table, whose tissues to take.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Synthesize a scan, and all that is true of it.

    Writes dwi and its table, dwi_noisefree, the directions and fractions of three fibre families, the mask, and summary.json.
    """
    from unfog.systems.dmri import Tables
    from unfog.systems.dmri_synthesize import synthesize_files

    tables = Tables(bvals, bvecs, grad, layout.value)
    emit(synthesize_files(tables, out, snr=snr, coils=coils, tissue=tissue, like=like, seed=seed), as_json)


@dmri.command(epilog="Example:  unfog dmri report denoised")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `unfog dmri denoise` wrote.")], as_json: AsJson = False
) -> None:
    """Write report.html into the folder of a denoised scan.

    One page that needs no other file: before, after, what was removed, noise, directions, warnings.
    """
    from unfog.systems.dmri_report import write_report

    emit(write_report(folder), as_json)
