"""Values and table cells of a report, as text."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any


def cell(text: str, column: int, best: bool) -> str:
    """A table cell; the first of a row is its heading."""
    if column == 0:
        return f'<th scope="row">{escape(text)}</th>'
    return f'<td class="best">{escape(text)}</td>' if best else f"<td>{escape(text)}</td>"


def plain(value: Any) -> str:
    """A value of a summary as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(one)}" for key, one in value.items())
    return (
        ", ".join(map(plain, value))
        if isinstance(value, list)
        else f"{value:.4g}"
        if isinstance(value, float)
        else str(value)
    )
