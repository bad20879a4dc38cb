"""Docstrings are plain text with formulas, not reStructuredText: this makes them so.

A block that is indented under a paragraph is a formula and is shown as it stands; the characters
that reStructuredText would take for markup are escaped; ``code`` stays code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SECTIONS = ("Args:", "Returns:", "Raises:", "Yields:", "Attributes:", "Example:", "Examples:")
CODE = re.compile(r"(``.+?``)")
MARKUP = re.compile(r"(?<!\\)([*|`\\]|_(?=\W|$))")


def escaped(line: str) -> str:
    """A line whose characters mean themselves, but for ``code``.

    >>> escaped("A* y, |y - m|^2 of ``x_``")
    'A\\\\* y, \\\\|y - m\\\\|^2 of ``x_``'
    """
    parts = CODE.split(line)
    return "".join(p if k % 2 else MARKUP.sub(r"\\\1", p) for k, p in enumerate(parts))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def plain(lines: list[str]) -> list[str]:
    """A docstring's lines as reStructuredText.

    Args:
        lines: As autodoc gives them, the least indented at the margin.

    Returns:
        The lines, formulas as literal blocks.
    """
    made: list[str] = []
    section = literal = False
    for k, line in enumerate(lines):
        before = lines[k - 1].strip() if k else ""
        if line.strip() and not _indent(line):
            section, literal = line.strip() in SECTIONS, False
        if not section and not literal and _indent(line) and (not before or not k):
            made += ["::", ""]
            literal = True
        if literal or line.lstrip().startswith(">>>"):
            made.append(line)
        elif not section and _indent(line):  # a list's or a doctest's continuation
            made.append(escaped(line.strip()))
        else:
            made.append(escaped(line))
    return made


def _on_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: Any) -> None:
    lines[:] = plain(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _on_docstring, priority=400)  # ahead of napoleon
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
