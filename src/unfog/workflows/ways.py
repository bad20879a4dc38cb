"""What a command does by what a run is of: the first of its ways that takes the run does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfog.errors import InputError


@dataclass(frozen=True)
class Way:
    """A way to do a command's work.

    Args:
        of: What the runs are that it is for, such as "a run of clips".
        takes: Whether a folder, or the shipped prior of that name, is such a run.
        work: Does it, called with the command's arguments, the first of them the run, and the
            options by their keywords.
        options: The keyword of each option that it knows, such as {"--class": "label"}.
    """

    of: str
    takes: Callable[[Path], bool]
    work: Callable[..., dict[str, Any]]
    options: Mapping[str, str]


def by_run(
    ways: Sequence[Way], doing: str, run: Path, *arguments: Any, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Do a command's work by the first way that takes the run.

    Args:
        ways: The ways.
        doing: The work's name, such as "sampling".
        run: The run.
        *arguments: Others of the command.
        given: The options that the user gave, by their names such as "--class".

    Returns:
        The summary.

    Raises:
        InputError: No way takes the run, or the one that does does not know an option.
    """
    way = next((way for way in ways if way.takes(run)), None)
    if way is None:
        whose = " or ".join(way.of for way in ways)
        raise InputError(f"{doing.capitalize()} is of {whose}, and {run.name} is none.")
    strange = [name for name in given if name not in way.options]
    if strange:
        it = "it" if len(strange) == 1 else "them"
        raise InputError(
            f"{doing.capitalize()} of {way.of} does not know {', '.join(strange)}; leave {it} out."
        )
    options = {way.options[name]: value for name, value in given.items()}
    return way.work(run, *arguments, **options)


def scale(guidance: str | None, of: str) -> float | None:
    """A guidance that is one number, as the user wrote it; None where there is none."""
    try:
        return None if guidance is None else float(guidance)
    except ValueError as error:
        raise InputError(f"The guidance of {of} is one number, not {guidance!r}.") from error
