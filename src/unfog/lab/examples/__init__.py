"""What ships to try a page with, one click each: a form's values, its files among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path


@dataclass(frozen=True)
class Example:
    """An example of a page.

    Args:
        name: Within the page.
        label: What the button says.
        values: The form's values.
        files: Names of files of this package, by the form's fields.
    """

    name: str
    label: str
    values: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)


def example_file(name: str) -> Path:
    """A file of this package on disk."""
    with as_file(files(__package__) / name) as path:
        return path
