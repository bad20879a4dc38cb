"""Registries: the only way a name in a file becomes code.

A recipe says ``{name: vp-linear, beta_max: 20}``. The name is looked up among built-in entries and
every other key must be a parameter of the entry; nothing from a file is ever imported or executed.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from unfog.errors import InputError

T = TypeVar("T")


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """The error for a name that is not among ``known``, with the nearest one suggested."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of: {', '.join(names)}."
    return InputError(f"Unknown {kind} {name!r}; {hint}")


class Registry(Generic[T]):
    """Named factories of one kind of part.

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
        return sorted(self._entries)

    def get(self, name: str) -> Callable[..., T]:
        """The factory called ``name``; ``InputError`` when there is none."""
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries)
        return self._entries[name]

    def build(self, config: Mapping[str, Any] | str, **extra: Any) -> T:
        """Build from ``{"name": ..., **parameters}`` or a bare name; ``extra`` adds parameters the
        file cannot know.
        """
        parameters = {"name": config} if isinstance(config, str) else dict(config)
        if "name" not in parameters:
            raise InputError(f"A {self.kind} needs a 'name', one of: {', '.join(self.names())}.")
        name = parameters.pop("name")
        factory = self.get(name)
        known = inspect.signature(factory).parameters
        for key in parameters:
            if key not in known:
                raise unknown(f"key of {self.kind} {name!r}", key, known)
        try:
            return factory(**parameters, **extra)
        except TypeError as error:
            raise InputError(f"The {self.kind} {name!r} cannot be built: {error}.") from error
