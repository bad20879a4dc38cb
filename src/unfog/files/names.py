"""Names of input files, which may name a patient: results say "input 1" in their place, unless the
user wants them kept.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from itertools import islice
from pathlib import Path
from typing import Any

from unfog.files.listing import files_below

MOST = 100_000  # files below a folder whose names are looked for
_AS_INPUT = ("input", "other")  # keys of a summary that hold nothing but a name
_WRITTEN = "files"
_kept: ContextVar[bool] = ContextVar("keep_names", default=False)


def keep_names(kept: bool) -> None:
    """Say whether results that are written from here on keep the names of input files."""
    _kept.set(kept)


def names_kept() -> bool:
    """Whether results keep the names of input files."""
    return _kept.get()


class Roles:
    """What is said in place of the names of some inputs: "input 1" for the first, and so on.

    Args:
        inputs: Files and folders; those that are None have no name.
    """

    def __init__(self, inputs: Iterable[Path | None]) -> None:
        self._roles: dict[str, str] = {}
        given = [] if names_kept() else [path for path in inputs if path is not None]
        for number, path in enumerate(given, 1):
            role = f"input {number}"
            below = islice(files_below(path), MOST) if path.is_dir() else ()
            for name in (path.name, path.resolve().name, *(file.name for file in below)):
                if name:
                    self._roles.setdefault(name, role)
        # A plain word may stand in a text for what it means.
        words = [name for name in self._roles if not re.fullmatch("[a-z]*", name)]
        self._told = _pattern(words)
        self._pages = _pattern([html.escape(name) for name in words])

    def hide(self, value: Any, key: object = None) -> Any:
        """Plain data without the names: texts, and those in lists and tables."""
        if isinstance(value, str):
            if key in _AS_INPUT and value in self._roles:
                return self._roles[value]
            return self._replaced(self._told, value)
        if isinstance(value, Mapping):
            # Files that are written have names of their own, which an input may have had.
            return {
                name: part if name == _WRITTEN else self.hide(part, name)
                for name, part in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.hide(part, key) for part in value]
        return value

    def hide_in_page(self, text: str) -> str:
        """A page without the names."""
        return self._replaced(self._pages, text)

    def _replaced(self, pattern: re.Pattern[str] | None, text: str) -> str:
        if pattern is None:
            return text
        return pattern.sub(lambda found: self._roles[html.unescape(found[0])], text)


def _pattern(names: list[str]) -> re.Pattern[str] | None:
    """What finds the names as words of their own, the longest first."""
    if not names:
        return None
    either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![\w.-])(?:{either})(?![\w-])")
