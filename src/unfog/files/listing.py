"""What a folder holds, without what systems and editors leave in it.

Names that begin with a dot are never data: ``._x.nii.gz`` is what macOS keeps beside a file on a
disk of another system, ``.ipynb_checkpoints`` holds Jupyter's copies, ``.DS_Store`` a view.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from unfog.errors import InputError


def visible(root: Path, paths: Iterable[Path]) -> list[Path]:
    """The paths below ``root``, sorted, of which no part below it begins with a dot."""
    return sorted(
        path
        for path in paths
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def files_below(path: Path) -> list[Path]:
    """The files in a folder and its folders, sorted, or the file itself; ``InputError`` where there
    is neither.
    """
    if not path.exists():
        raise InputError(f"There is no file or folder {path}; check the path.")
    if path.is_file():
        return [path]
    return [file for file in visible(path, path.rglob("*")) if file.is_file()]
