"""``unfog train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unfog.cli.options import AsJson, In, emit, stopped


def train(
    system: Annotated[
        str, typer.Argument(metavar="SYSTEM", help="One of `unfog systems`, a cascade, or lora.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="RUN", help="Folder of the run; runs/SYSTEM by default."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="One of `unfog data`, or your own file or folder; without, what the system "
            "names or, with --resume, the run was trained on.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Train on from the weights of another run: fine-tuning."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in RUN.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps: short for --set training.steps=N.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="About so long: sets training.steps by a short measurement."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Short for --set training.seed=S.")
    ] = None,
    precision: In | None = None,
    skip_broken: Annotated[
        bool,
        typer.Option(
            "--skip-broken",
            help="Of files of molecules: leave out records that cannot be read, and say which; "
            "short for --set data.skip_broken=true.",
        ),
    ] = False,
    stage: Annotated[
        str | None,
        typer.Option(metavar="K", help="Of a cascade: the stage, by name or number."),
    ] = None,
    pipeline: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FOLDER", help="Of lora: the pipeline of Stable Diffusion it is of."
        ),
    ] = None,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Of lora: the rank of its changes; 8 by default.")
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="tensorboard|mlflow|wandb|trackio",
            help="Give the log to a tracker too, on this machine; repeatable.",
        ),
    ] = None,
    parallel: Annotated[
        str,
        typer.Option(
            metavar="auto|ddp|fsdp",
            help="How processes that torchrun started train together: each with the whole model, "
            "or with its part of it.",
        ),
    ] = "auto",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what it needs of memory and time, by one step, and train not."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a system on a data set or on your own files, a stage of a cascade, or a LoRA of a
    pipeline of Stable Diffusion (lora --from FOLDER).
    """
    import unfog.builtin  # noqa: F401  (registers every name)
    from unfog.errors import InputError
    from unfog.runs.lora import train_lora
    from unfog.training.guard import Interrupted
    from unfog.workflows.cascade import cascades, train_stage
    from unfog.workflows.train import train_files

    short = {
        "training.steps": steps,
        "training.seed": seed,
        "training.precision": precision,
        "data.skip_broken": "true" if skip_broken else None,
    }
    overrides = [
        *(settings or []),
        *(f"{key}={value}" for key, value in short.items() if value is not None),
    ]
    _check_lora(system, pipeline, rank, dry_run or start is not None or minutes is not None)
    if stage is not None and system not in cascades:
        raise InputError(f"{system} is no cascade and has no stages; leave out --stage.")
    if dry_run:
        known = resume or start is not None or minutes is not None
        emit(_dry_run(system, data, overrides, known), as_json)
        return
    folder = out or Path("runs") / system
    how: dict[str, Any] = {
        "start": start,
        "resume": resume,
        "minutes": minutes,
        "track": track or (),
        "parallel": parallel,
    }
    try:
        if pipeline is not None:
            result = train_lora(
                pipeline, data, folder, overrides, rank=rank, resume=resume, track=track or ()
            )
        elif system in cascades:
            result = train_stage(system, stage, data, folder, overrides, **how)
        else:
            result = train_files(system, data, folder, overrides, **how)
    except (Interrupted, KeyboardInterrupt) as stop:
        raise stopped(f"unfog train {system}", folder, stop) from stop
    emit(result, as_json)


def _dry_run(system: str, data: str | None, overrides: list[str], known: bool) -> dict[str, Any]:
    """What a new run needs, and the line that trains it on two processes; ``InputError`` for a
    cascade, or a run that is ``known`` already or fits itself to a time.
    """
    from unfog.errors import InputError
    from unfog.runs.dry_run import dry_run_system
    from unfog.training.processes import torchrun_line
    from unfog.workflows.cascade import cascades

    if system in cascades:
        raise InputError("A dry run is of a system; name the one of the stage.")
    if known:
        raise InputError("A dry run is of a new run; leave out --resume, --start and --minutes.")
    together = torchrun_line(2, ["train", system, "..."])
    return dry_run_system(system, data, overrides) | {"on 2 processes": together}


def _check_lora(system: str, pipeline: Path | None, rank: int | None, others: bool) -> None:
    """``InputError`` for a LoRA without its pipeline, or with ``others``, options that it does not
    know; and for another system with what is a LoRA's.
    """
    from unfog.errors import InputError
    from unfog.runs.lora import SYSTEM

    if system != SYSTEM and (pipeline is not None or rank is not None):
        raise InputError("--from and --rank are for unfog train lora; leave them out.")
    if system == SYSTEM and pipeline is None:
        raise InputError("A LoRA is of a pipeline; give --from FOLDER.")
    if system == SYSTEM and others:
        raise InputError("A LoRA knows no --start, --minutes and --dry-run; leave them out.")
