"""Options that several commands share, and the printing of results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


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
Sampler = Annotated[
    str | None, typer.Option(help="Sampler, such as ddim or heun; the run's own by default.")
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Sampler steps; the run's own number by default.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]


class Precision(StrEnum):
    """What the network computes in."""

    auto = "auto"
    bf16 = "bf16"
    fp32 = "fp32"


In = Annotated[
    Precision,
    typer.Option("--precision", help="Of the network; auto is the faster one here."),
]


def sizes(option: str, text: str) -> list[int]:
    """The whole numbers in an option's text, separated by commas."""
    from unfog.errors import InputError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"{option} is whole numbers separated by commas, such as 64,64,64, not {text!r}."
        ) from None


def class_number(text: str) -> int:
    """The number of a class."""
    from unfog.errors import InputError

    if not text.isdigit():
        raise InputError(f"The class is a number, from 0, not {text!r}.")
    return int(text)


def levels(option: str, text: str) -> tuple[float, float]:
    """The lower and the upper bound in an option's text, with a comma between them."""
    from unfog.errors import InputError

    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high:
        raise InputError(
            f"{option} is two numbers, the smaller first, such as 0.2,5, not {text!r}."
        )
    return low, high


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
