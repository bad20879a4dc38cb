"""``unfog calibrate``."""

from __future__ import annotations

from typing import Annotated

import typer

from unfog.cli.options import AsJson, Run, Seed, emit


def calibrate(
    run: Run,
    steps: Annotated[int, typer.Option(min=1, help="Network calls of the solver: one a step.")] = 8,
    trajectories: Annotated[
        int, typer.Option(min=2, help="How many of the run's own trajectories to learn from.")
    ] = 64,
    iterations: Annotated[int, typer.Option(min=0, help="Iterations of L-BFGS.")] = 24,
    seed: Seed = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Learn a solver again that the run has already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn the times and coefficients of a solver for a run.

    They are saved with the run: `unfog sample RUN --sampler calibrated --steps K` then comes
    nearest to the exact samples in K calls. It learns in float32, exact enough to descend.
    """
    from unfog.builtin import open_run
    from unfog.progress import progress
    from unfog.runs.calibrate import calibrate_run

    with progress("calibrating") as report:
        result = calibrate_run(
            open_run(run, "fp32"),
            steps,
            trajectories=trajectories,
            iterations=iterations,
            seed=seed,
            overwrite=overwrite,
            report=report,
        )
    emit(result, as_json)
