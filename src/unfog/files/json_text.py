"""JSON as files hold it, read under caps: bytes, depth, and numbers that are finite."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from unfog.errors import InputError
from unfog.files.text import read_text

LARGEST = 100_000_000  # bytes
DEEPEST = 64  # lists and tables within each other
# A text in quotes, or a bracket outside of one.
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def parse(text: str | bytes, source: str, finite: bool = True) -> Any:
    """The data in a JSON text.

    Args:
        text: The text; bytes are UTF-8.
        source: What it is called in errors.
        finite: Whether NaN and infinity, which JSON has not, are refused.

    Returns:
        Plain data.

    Raises:
        InputError: It is no JSON, longer or deeper than the caps, or holds numbers that are not
            finite.

    >>> parse('{"a": [1, 2.5]}', "a text")
    {'a': [1, 2.5]}
    """
    if len(text) > LARGEST:
        raise InputError(f"{source} is not JSON: it is longer than {LARGEST} bytes.")
    try:
        told = text.decode("utf-8") if isinstance(text, bytes) else text
        _require_shallow(told)
        if not finite:
            return json.loads(told)
        return json.loads(told, parse_constant=_refused, parse_float=_number)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, InputError) else "it is damaged or cut"
        raise InputError(f"{source} is not JSON: {why}.") from error


def read(path: Path, finite: bool = True) -> Any:
    """The data in a JSON file; see ``parse``.

    Raises:
        OSError: The file cannot be read.
        InputError: It is not JSON.
    """
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path.name} is not JSON: it is longer than {LARGEST} bytes.")
    try:
        text = read_text(path)
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON: it is no text.") from error
    return parse(text, path.name, finite)


def _require_shallow(text: str) -> None:
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for token in _TOKENS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > DEEPEST:
            raise InputError(f"it is nested more than {DEEPEST} deep")


def _refused(constant: str) -> NoReturn:
    raise InputError(f"{constant} is no number")


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InputError(f"{text[:20]} is beyond the largest number")
    return value
