"""Palettes in files: colours as ``#rrggbb``, or a GIMP palette (.gpl)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError
from unfog.files.text import read_text

MOST = 64  # colours
_HEX = re.compile(r"#?([0-9a-fA-F]{6})\b")
_NUMBERS = re.compile(r"\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})(?:\s|,|$)")


def read_palette(path: Path) -> NDArray[np.uint8]:
    """The colours in a file: one a line as ``#rrggbb`` or ``red green blue`` of 0 to 255, with a
    name behind it or not; a GIMP palette (.gpl) is such a file.

    Args:
        path: The file.

    Returns:
        (count, 3), red, green and blue.

    Raises:
        InputError: There is no such file, a line holds no colour, or there are none or too many.
    """
    if not path.is_file():
        raise InputError(f"There is no palette {path}; give a text file of one colour a line.")
    try:
        lines = read_text(path).splitlines()
    except (InputError, UnicodeDecodeError, ValueError) as error:
        raise InputError(_said(path)) from error
    if lines and lines[0].strip() == "GIMP Palette":  # a header, then comments
        lines = [line for line in lines[1:] if not re.match(r"\s*(Name|Columns):", line)]
    colours = [_colour(path, line) for line in lines if _means_something(line)]
    if not 1 <= len(colours) <= MOST:
        raise InputError(f"{path.name} holds {len(colours)} colours; a palette has 1 to {MOST}.")
    return np.array(colours, dtype=np.uint8)


def _means_something(line: str) -> bool:
    """Whether a line is neither empty nor a comment, which begins with # and is no colour."""
    text = line.strip()
    return bool(text) and not (text.startswith("#") and not _HEX.match(text))


def _colour(path: Path, line: str) -> list[int]:
    """The colour of a line."""
    if numbers := _NUMBERS.match(line):
        values = [int(part) for part in numbers.groups()]
        if max(values) <= 255:
            return values
    elif found := _HEX.match(line.strip()):
        return list(bytes.fromhex(found[1]))
    raise InputError(_said(path))


def _said(path: Path) -> str:
    """What a palette is, for an error."""
    return (
        f"{path.name} is no palette; give a text file of one colour a line, such as #c04020, or a "
        "GIMP palette (.gpl)."
    )
