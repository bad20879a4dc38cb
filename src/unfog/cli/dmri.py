"""``unfog dmri``: diffusion MRI."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, Out, emit

dmri = typer.Typer(name="dmri", help="Diffusion MRI: denoise a scan.", rich_markup_mode=None, no_args_is_help=True)

Dwi = Annotated[Path, typer.Argument(metavar="DWI", help="The scan, NIfTI of four dimensions, before any resampling.")]
Bvals = Annotated[Path | None, typer.Option(metavar="FILE", help="FSL's b-values.")]
Bvecs = Annotated[Path | None, typer.Option(metavar="FILE", help="FSL's vectors, in three rows or three columns.")]
Grad = Annotated[Path | None, typer.Option(metavar="FILE", help="An MRtrix table, in place of the two.")]


class Layout(StrEnum):
    """How vectors lie in their file."""

    auto = "auto"
    rows = "rows"
    columns = "columns"


@dmri.command(epilog="Example:  unfog dmri denoise dwi.nii.gz --bvals dwi.bval --bvecs dwi.bvec --out denoised")
def denoise(
    dwi: Dwi,
    out: Out,
    bvals: Bvals = None,
    bvecs: Bvecs = None,
    grad: Grad = None,
    layout: Annotated[Layout, typer.Option(help="How the vectors lie in their file.")] = Layout.auto,
    mask: Annotated[Path | None, typer.Option(metavar="FILE", help="Above 0 where to denoise; found by itself without.")] = None,
    coils: Annotated[int, typer.Option(min=1, help="Channels combined by sum of squares: noise is non-central chi if over 1.")] = 1,
    unbias: Annotated[bool, typer.Option("--unbias/--keep-bias", help="Take away what noise adds to magnitudes.")] = True,
    as_json: AsJson = False,
) -> None:
    """Denoise a diffusion scan.

    Writes dwi_denoised with its table, the noise level, the residual, the error to expect and the mask, and summary.json with
    warnings in words.
    """
    from unfog.systems.dmri import Tables, denoise_file

    emit(denoise_file(dwi, Tables(bvals, bvecs, grad, layout.value), out, mask=mask, coils=coils, unbias=unbias), as_json)
