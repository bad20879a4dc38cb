"""Options that several commands share, and the printing of results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from unfog.errors import InputError
from unfog.signals import exit_status


def one_of(names: Callable[[], Iterable[str]]) -> Callable[[str], str]:
    """A parser of an option that takes a name in a table, which may grow after the command is
    defined.

    Args:
        names: Gives the names to choose from.

    Returns:
        The parser that an option takes.
    """

    def name(value: str) -> str:
        if value not in names():
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(map(repr, names()))}.")
        return value

    return name


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="New folder for the results.")
]
Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a trained run, or a shipped prior.")
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FOLDER",
        help="Instead of RUN: a pipeline of Stable Diffusion 1.x, 2.x or XL as diffusers saves it.",
        show_default=False,
    ),
]
Loras = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="FILE[:WEIGHT]",
        help="With --from: a LoRA that is merged with a weight, 1 by default; several times for "
        "several.",
        show_default=False,
    ),
]
Sampler = Annotated[
    str | None, typer.Option(help="Sampler, such as ddim or heun; the run's own by default.")
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Sampler steps; the run's own number by default.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]


KeepNames = Annotated[
    bool,
    typer.Option("--keep-names", help="Name the input files in summary and report, not 'input 1'."),
]


class Precision(StrEnum):
    """What the network computes in."""

    auto = "auto"
    bf16 = "bf16"
    fp32 = "fp32"


In = Annotated[
    Precision,
    typer.Option("--precision", help="Of the network; auto is the faster one here."),
]


def either(run: Path | None, source: Path | None) -> Path:
    """The run, or the pipeline that stands in its place; ``InputError`` unless there is one."""
    found = [path for path in (run, source) if path is not None]
    if len(found) != 1:
        raise InputError("Give a run's folder, or with --from that of a pipeline, and not both.")
    return found[0] if source is None else _pipeline(source)


def _pipeline(folder: Path) -> Path:
    """The folder, or ``InputError`` where it is none of a pipeline."""
    from unfog.interop.pipeline_folder import require_pipeline

    require_pipeline(folder)
    return folder


def run_and_inputs(
    first: Path, pipeline: Path | None, others: list[Path]
) -> tuple[Path, list[Path]]:
    """The run and the inputs behind it; with a pipeline in the run's place all are inputs."""
    run, inputs = (first, others) if pipeline is None else (_pipeline(pipeline), [first, *others])
    if not inputs:
        raise InputError(f"Give an input file behind {run}.")
    return run, inputs


def given(context: typer.Context, *besides: str) -> dict[str, Any]:
    """The options that the user gave, by their names such as "--class", without those that every
    command has (``--json``) and arguments of these names.
    """
    names = {p.name: p.opts[0] for p in context.command.params if p.name is not None}
    return {
        option: context.params[name]
        for name, option in names.items()
        if name not in ("as_json", *besides) and not _left_out(context, name)
    }


def _left_out(context: typer.Context, name: str) -> bool:
    """Whether an option has its default."""
    source = context.get_parameter_source(name)
    return source is None or source.name != "COMMANDLINE"


def stopped(command: str, out: Path, stop: BaseException) -> typer.Exit:
    """Say on stderr what a training that a signal ended has saved and how to go on.

    Args:
        command: The command without its options, such as "unfog train edm".
        out: The run's folder.
        stop: What ended it.

    Returns:
        The exception that ends the command.
    """
    names = (path.name.removeprefix("step-") for path in out.glob("checkpoints/step-*"))
    steps = [int(name) for name in names if name.isdecimal()]
    again = f"go on with: {command} --out {out} --resume"
    if steps:
        said = f"step {max(steps)} is saved; {again}"
    elif (out / "config.yaml").is_file():
        said = f"no step is saved yet; {again}"
    else:
        said = "nothing is saved yet; give the same command again"
    typer.echo(f"unfog: stopped: {said}", err=True)
    return typer.Exit(exit_status(stop))


def emit(result: Mapping[str, Any], as_json: bool) -> None:
    """Print a result: one JSON object, or aligned lines for people."""
    if as_json:
        typer.echo(json.dumps(result, default=str, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(result)))


def _lines(result: Mapping[str, Any], indent: str = "") -> list[str]:
    """A line for each entry, names aligned, those of nested results indented."""
    width = max(map(len, map(str, result)), default=0)
    lines = []
    for key, value in result.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key!s:<{width}}  {_plain(value)}".rstrip())
    return lines


def _plain(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return "" if value is None else str(value)
