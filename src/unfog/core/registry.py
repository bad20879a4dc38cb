"""Registries, which build parts from their names in a config.

A recipe says ``{name: vp-linear, beta_max: 20}``. The name must be that of a registered factory,
and every other key a parameter of it. Nothing else in a file is ever imported or executed.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from unfog.errors import InputError

T = TypeVar("T")


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """The error for an unknown name, which suggests the nearest known one.

    Args:
        kind: What is named, such as "sampler".
        name: The unknown name.
        known: The names there are.

    Returns:
        The error, to be raised.
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of: {', '.join(names)}."
    return InputError(f"Unknown {kind} {name!r}; {hint}")


class Registry(Generic[T]):
    """Factories of one kind of part, by name.

    Args:
        kind: What the parts are called in messages, such as "sampler".

    >>> colours: Registry[int] = Registry("colour")
    >>> @colours.register("grey")
    ... def grey(level: int = 3) -> int:
    ...     return level
    >>> colours.build({"name": "grey", "level": 5})
    5
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Decorator: make a class or function buildable under ``name``."""

        def add(factory: Callable[..., T]) -> Callable[..., T]:
            self._entries[name] = factory
            return factory

        return add

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._entries)

    def get(self, name: str) -> Callable[..., T]:
        """The factory called ``name``; ``InputError`` when there is none."""
        if not isinstance(name, str):
            raise InputError(f"The name of a {self.kind} is a text, not {str(name)[:60]!r}.")
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries)
        return self._entries[name]

    def build(self, config: Mapping[str, Any] | str, **extra: Any) -> T:
        """Build a part.

        Args:
            config: ``{"name": ..., **parameters}``, or a bare name.
            extra: Further parameters, which a file cannot hold.

        Returns:
            The part.

        Raises:
            InputError: The name or a parameter is unknown, of another type or out of range, or a
                parameter is missing.
        """
        if not isinstance(config, str | Mapping):
            raise InputError(
                f"A {self.kind} is a name, or a table with one, not {str(config)[:60]!r}."
            )
        from unfog.core.ranges import check_parameter  # here, as most commands build nothing

        parameters = {"name": config} if isinstance(config, str) else dict(config)
        if "name" not in parameters:
            raise InputError(f"A {self.kind} needs a 'name', one of: {', '.join(self.names())}.")
        name = parameters.pop("name")
        factory = self.get(name)
        accepted = inspect.signature(factory).parameters
        for key, value in parameters.items():
            if key not in accepted:
                raise unknown(f"key of {self.kind} {name!r}", key, accepted)
            check_parameter(f"{self.kind} {name!r}", key, accepted[key].annotation, value)
        try:
            return factory(**parameters, **extra)
        except InputError:
            raise
        except (TypeError, ValueError, ArithmeticError) as error:
            # What torch says of sizes that do not go together, on one line.
            said = " ".join(str(error).split())
            raise InputError(f"The {self.kind} {name!r} cannot be built: {said}.") from error
