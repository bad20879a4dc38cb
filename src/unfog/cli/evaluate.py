"""``unfog evaluate``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, In, Out, Precision, Sampler, Seed, Steps, emit, given, one_of
from unfog.workflows.tasks import Options, checked_tasks

OF_PAIRS = ("source", "out", "against", "paired")
OF_POSTERIORS = (
    "--task",
    "--noise",
    "--method",
    "--draws",
    "--operator",
    "--mask",
    "--factor",
    "--blur",
)


def evaluate(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FOLDER",
            help="A run, a folder of pictures or of samples, or a file of molecules; with "
            "--posterior a run, or an exact prior such as oracle:gaussian.",
        ),
    ],
    out: Out,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH", help="Real data; what the run was trained on by default."
        ),
    ] = None,
    features: Annotated[
        str,
        typer.Option(
            metavar="imagenet|data|pixels",
            help="The features of the distances: ImageNet's, those of a network trained on the "
            "data, or the pixels.",
        ),
    ] = "imagenet",
    count: Annotated[
        int | None,
        typer.Option(
            "-n",
            min=1,
            help="Samples: 1000 of a run, or all of a folder; with --posterior truths, 100.",
            show_default=False,
        ),
    ] = None,
    paired: Annotated[
        bool,
        typer.Option("--paired", help="Each picture against its own truth, by name: PSNR, SSIM."),
    ] = False,
    posterior: Annotated[
        bool,
        typer.Option(
            "--posterior",
            help="Whether restorations are draws of the true posterior: ranks, coverage, "
            "score-KSD.",
        ),
    ] = False,
    task: Annotated[
        str,
        typer.Option(
            parser=one_of(checked_tasks),
            metavar="|".join(checked_tasks()),
            help="For --posterior: what the restorations undo.",
        ),
    ] = "denoise",
    noise: Annotated[
        float | None,
        typer.Option(
            help="For --posterior: standard deviation of the measurement's noise.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="auto|NAME", help="For --posterior: as of unfog restore.")
    ] = "auto",
    draws: Annotated[
        int, typer.Option(min=2, help="For --posterior: draws of each truth, such as 9 or 19.")
    ] = 19,
    operator: Annotated[
        Path | None,
        typer.Option(metavar="FILE.yaml", help="For --posterior and --task custom: operators."),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For --posterior and --task inpaint: not 0 in holes."),
    ] = None,
    factor: Annotated[int, typer.Option(min=1, help="For superres: how many times finer.")] = 4,
    blur: Annotated[
        float,
        typer.Option(help="For deblur: the standard deviation of the Gaussian blur, in pixels."),
    ] = 1.5,
    bits: Annotated[
        int,
        typer.Option(
            min=0,
            help="Bits per dimension of so many real samples under a run; a bound of a VAE.",
        ),
    ] = 0,
    steps: Steps = None,
    sampler: Sampler = None,
    seed: Seed = 0,
    precision: In = Precision.auto,
    as_json: AsJson = False,
) -> None:
    """Judge samples beside real data: distances, precision and recall, coverage, spectra.

    Each with its 95 % interval, and with the floor that real data leave in the samples' place.
    Written are figures.json and report.html, with the real pictures nearest to some samples.

    With --posterior: truths are drawn from the run and measured, restorations of each are drawn,
    and these are judged.
    """
    from unfog.workflows import evaluate as work
    from unfog.workflows import evaluate_posterior as check
    from unfog.workflows.evaluate_molecules import evaluate_molecules, takes

    if paired:
        emit(work.evaluate_pairs(source, out, _truth_of_pairs(context, against)), as_json)
        return
    if posterior:
        how = check.Check(
            noise=_noise(context, noise),
            truths=count or check.TRUTHS,
            draws=draws,
            method=method,
            sampler=sampler,
            steps=steps,
            seed=seed,
            against=against,
            precision=precision.value,
            options=Options(mask=mask, operator=operator, factor=factor, blur=blur),
        )
        emit(check.evaluate_posterior(source, out, task, how), as_json)
        return
    _refuse(context, OF_POSTERIORS, "for --posterior")
    molecules = takes(source)
    if molecules:
        _refuse(context, ["--features", "--bits"], "for pictures")
    judge = partial(work.evaluate, features=features, bits=bits)
    result = (evaluate_molecules if molecules else judge)(
        source,
        out,
        against=against,
        count=count,
        steps=steps,
        sampler=sampler,
        seed=seed,
        precision=precision.value,
    )
    emit(result, as_json)


def _truth_of_pairs(context: typer.Context, against: str | None) -> str:
    """What pairs are compared with; ``InputError`` without it, or beside options of other use."""
    from unfog.errors import InputError

    strange = sorted(given(context, *OF_PAIRS))
    if strange:
        raise InputError(f"Pairs do not know {', '.join(strange)}; leave it out.")
    if against is None:
        raise InputError("Pairs need the truth; give --against a folder of as many pictures.")
    return against


def _noise(context: typer.Context, noise: float | None) -> float:
    """The noise of a posterior's measurements; ``InputError`` without it, or beside --features."""
    from unfog.errors import InputError

    _refuse(context, ["--features", "--bits"], "for samples")
    if noise is None:
        raise InputError("A posterior is of noisy measurements; give --noise, in the data's units.")
    return noise


def _refuse(context: typer.Context, options: Iterable[str], purpose: str) -> None:
    """``InputError`` where the user gave any of these options."""
    from unfog.errors import InputError

    strange = sorted(set(options) & set(given(context)))
    if strange:
        raise InputError(f"{', '.join(strange)} is {purpose}; leave it out.")
