"""``unfog calibrate-uncertainty``."""

from __future__ import annotations

from typing import Annotated

import typer

from unfog.cli.options import AsJson, In, Precision, Run, Sampler, Seed, Steps, emit, one_of
from unfog.workflows.tasks import Options, calibrated_tasks, function, task_named


def calibrate_uncertainty(
    run: Run,
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH", help="Data the run has not seen: a data set, a file or a folder."
        ),
    ],
    task: Annotated[
        str,
        typer.Option(
            parser=one_of(calibrated_tasks),
            metavar="|".join(calibrated_tasks()),
            help="What the restorations will undo.",
        ),
    ],
    noise: Annotated[
        float,
        typer.Option(
            help="Standard deviation of the noise to add, in the data's units; of k-space or of "
            "rays."
        ),
    ],
    factor: Annotated[int, typer.Option(min=1, help="For superres: how many times finer.")] = 4,
    blur: Annotated[
        float,
        typer.Option(help="For deblur: the standard deviation of the Gaussian blur, in pixels."),
    ] = 1.5,
    acceleration: Annotated[
        int, typer.Option(min=1, help="For mri: one line of k-space in so many is measured.")
    ] = 4,
    coils: Annotated[int, typer.Option(min=1, help="For mri: how many coils.")] = 8,
    views: Annotated[
        int, typer.Option(min=1, help="For ct: how many angles over half a turn.")
    ] = 60,
    images: Annotated[int, typer.Option(help="How many images to learn from.")] = 16,
    samples: Annotated[int, typer.Option(min=2, help="Restorations to draw of each.")] = 8,
    steps: Steps = None,
    sampler: Sampler = None,
    seed: Seed = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Learn a factor again that the run has already.")
    ] = False,
    precision: In = Precision.auto,
    as_json: AsJson = False,
) -> None:
    """Learn the factor on a run's standard deviations with which its 90 % intervals cover 90 % of
    the truth.

    It is saved with the run, for each task, and `unfog restore RUN` applies it. Raw data of
    scanners are simulated from the images.
    """
    from unfog.builtin import open_run
    from unfog.progress import progress
    from unfog.runs import uncertainty
    from unfog.runs.run import require_posterior_mean
    from unfog.workflows.restore import require_noise

    require_noise(str(noise))
    opened = open_run(run, precision.value)
    require_posterior_mean(opened)
    options = Options(factor=factor, blur=blur, acceleration=acceleration, coils=coils, views=views)
    row = task_named(task)
    operator = function(row.operator or "")(opened, options)
    method, sampler, steps = row.chosen("auto", sampler, steps)
    with progress("calibrating") as report:
        result = uncertainty.calibrate_uncertainty(
            opened,
            data,
            task,
            operator,
            noise,
            images=images,
            samples=samples,
            seed=seed,
            steps=steps,
            sampler=sampler,
            method=method,
            overwrite=overwrite,
            report=report,
        )
    emit(result, as_json)
