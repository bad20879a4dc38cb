"""A class with names, so that a user may ask for one by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unfog.core.conditions import ClassCondition, conditions
from unfog.core.registry import unknown
from unfog.errors import InputError

KIND = "named-class"


@conditions.register(KIND)
class NamedClassCondition(ClassCondition):
    """A class label whose classes have names, embedded as any class.

    Args:
        count: The number of classes.
        width: The size of the embedding.
        names: Of the classes, in the order of their numbers.
        null: ``learned``, or ``zero`` for zeros.
    """

    def __init__(
        self, count: int, width: int, names: Sequence[str] = (), null: str = "learned"
    ) -> None:
        super().__init__(count, width, null)
        if names and len(names) != count:
            raise InputError(f"There are {len(names)} names of {count} classes; give one each.")
        self.names = tuple(names)


def named(names: Sequence[str]) -> dict[str, Any]:
    """The registry config of the condition for classes of these names."""
    return {"name": KIND, "count": len(names), "names": list(names)}


def number_of(section: dict[str, Any], wanted: str) -> int:
    """The number of a class that a user names, or gives by its number.

    Args:
        section: The config of a ``named-class`` condition.
        wanted: What the user wrote.

    Returns:
        The number.

    Raises:
        InputError: There is no such class.
    """
    names, count = list(section["names"]), int(section["count"])
    if wanted in names:
        return names.index(wanted)
    if wanted.isdigit() and int(wanted) < count:
        return int(wanted)
    raise unknown("class", wanted, names)
