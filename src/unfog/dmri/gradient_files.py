"""Gradient tables in text files: FSL's two, and MRtrix's one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.gradients import Array, GradientTable, fsl_to_world
from unfog.errors import InputError
from unfog.files.output import write_bytes
from unfog.files.text import read_text

LAYOUTS = ("auto", "rows", "columns")


def read_fsl(
    bvals: str | Path,
    bvecs: str | Path,
    affine: Array,
    volumes: int | None = None,
    layout: str = "auto",
    threshold: float | None = None,
    drop: Sequence[int] = (),
) -> GradientTable:
    """Read FSL's two text files.

    Args:
        bvals: The file of b-values, one row or one column.
        bvecs: The file of vectors.
        affine: (4, 4), of the scan.
        volumes: The number of volumes of the scan, to check the files against.
        layout: How vectors lie in the file: "rows" (3 rows, FSL's own), "columns" (3 columns) or
            "auto", which can tell unless there are exactly three.
        threshold: Up to this b a volume counts as b = 0; as ``GradientTable`` has it by default.
        drop: Volumes to leave out, counted from 0.

    Returns:
        The table, in world axes.

    Raises:
        InputError: A file cannot be read, or the two do not describe one scan of so many volumes.
    """
    values, vectors = read_numbers(Path(bvals)), read_numbers(Path(bvecs))
    if 1 not in values.shape:
        raise InputError(
            f"{Path(bvals).name} holds {values.shape[0]} x {values.shape[1]} numbers; b-values "
            "are one row or one column."
        )
    vectors = _laid_out(Path(bvecs), vectors, layout)
    if len(vectors) != values.size:
        raise InputError(
            f"{Path(bvals).name} has {values.size} b-values and {Path(bvecs).name} "
            f"{len(vectors)} vectors; match them."
        )
    _check_count(Path(bvals), values.size, volumes)
    along = _named(Path(bvecs), values.ravel(), vectors, threshold, drop)
    return replace(along, directions=along.directions @ fsl_to_world(affine).T)


def read_mrtrix(
    path: str | Path,
    volumes: int | None = None,
    threshold: float | None = None,
    drop: Sequence[int] = (),
) -> GradientTable:
    """Read an MRtrix table: a row of x y z b for each volume, in world axes; # begins a comment.

    Args:
        path: The file.
        volumes: The number of volumes of the scan, to check the file against.
        threshold: Up to this b a volume counts as b = 0; as ``GradientTable`` has it by default.
        drop: Volumes to leave out, counted from 0.

    Returns:
        The table.
    """
    table = read_numbers(Path(path))
    if table.shape[1] != 4:
        raise InputError(
            f"{Path(path).name} has {table.shape[1]} columns; an MRtrix table has four: x y z b."
        )
    return from_mrtrix(Path(path), table, volumes, threshold, drop)


def from_mrtrix(
    path: Path,
    rows: Array,
    volumes: int | None = None,
    threshold: float | None = None,
    drop: Sequence[int] = (),
) -> GradientTable:
    """The table of MRtrix's rows.

    Args:
        path: The file that they come from.
        rows: (volumes, 4): x, y, z, b in world axes.
        volumes: The number of volumes of the scan, to check the rows against.
        threshold: Up to this b a volume counts as b = 0; as ``GradientTable`` has it by default.
        drop: Volumes to leave out, counted from 0.

    Returns:
        The table.
    """
    _check_count(path, len(rows), volumes)
    return _named(path, rows[:, 3], rows[:, :3], threshold, drop)


def mrtrix_rows(table: GradientTable) -> Array:
    """A table as MRtrix has it, (volumes, 4): x, y, z, b in world axes."""
    return np.concatenate([table.directions, table.bvals[:, None]], 1)


def write_fsl(table: GradientTable, bvals: str | Path, bvecs: str | Path, affine: Array) -> None:
    """Write FSL's two text files, in rows.

    Args:
        table: The table to write.
        bvals: The file of b-values.
        bvecs: The file of vectors.
        affine: (4, 4), of the volume that they go with.
    """
    write_bytes(bvals, _text(table.bvals[None]))
    write_bytes(bvecs, _text((table.directions @ fsl_to_world(affine)).T))


def write_mrtrix(table: GradientTable, path: str | Path) -> None:
    """Write an MRtrix table: a row of x y z b for each volume."""
    write_bytes(path, _text(mrtrix_rows(table)))


def _text(rows: Array) -> bytes:
    """Rows of numbers as text; + 0.0 turns -0 into 0."""
    return "".join(" ".join(f"{value + 0.0:.10g}" for value in row) + "\n" for row in rows).encode()


def read_numbers(path: Path, what: str = "the scan's gradient table") -> Array:
    """The numbers of a text file, (rows, columns); `InputError`, which asks for ``what`` it has to
    be, where it holds something else.
    """
    try:
        lines = [
            line.split("#")[0].replace(",", " ").split() for line in read_text(path).splitlines()
        ]
        rows = [[float(word) for word in line] for line in lines if line]
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be read ({error.strerror}); check that it is a file and its "
            "permissions."
        ) from error
    except ValueError as error:  # UnicodeDecodeError among them
        raise InputError(f"{path.name} is not a text file of numbers; give {what}.") from error
    if not rows or len({len(row) for row in rows}) > 1:
        raise InputError(f"{path.name} is empty or its lines differ in length; export it again.")
    return np.array(rows, dtype=np.float64)


def _laid_out(path: Path, vectors: Array, layout: str) -> Array:
    """Vectors (n, 3) from either layout of a file."""
    if layout not in LAYOUTS:
        raise InputError(f"The layout of vectors is one of {', '.join(LAYOUTS)}, not {layout!r}.")
    rows, columns = vectors.shape[0] == 3, vectors.shape[1] == 3
    if layout == "auto" and rows and columns:
        raise InputError(
            f"{path.name} is 3 x 3, so its vectors may lie in rows or columns; say the layout, "
            "rows or columns."
        )
    if not (rows if layout == "rows" else columns if layout == "columns" else rows or columns):
        raise InputError(
            f"{path.name} holds {vectors.shape[0]} x {vectors.shape[1]} numbers; vectors lie in "
            "3 rows or 3 columns."
        )
    return vectors.T if layout == "rows" or (layout == "auto" and rows) else vectors


def _check_count(path: Path, count: int, volumes: int | None) -> None:
    if volumes is not None and count != volumes:
        raise InputError(
            f"{path.name} describes {count} volumes and the scan has {volumes}; give the table "
            "of this scan."
        )


def kept_volumes(volumes: int, drop: Sequence[int]) -> NDArray[np.int64]:
    """The numbers of the volumes that stay; `InputError` where one to drop is not there, or none
    stays.
    """
    absent = [k for k in drop if not 0 <= k < volumes]
    if absent:
        raise InputError(
            f"Volume {absent[0]} cannot be left out: the scan has volumes 0 to {volumes - 1}."
        )
    kept = np.setdiff1d(np.arange(volumes), np.asarray(drop, int))
    if not len(kept):
        raise InputError("All volumes were to be left out; keep some.")
    return kept


def _named(
    path: Path, bvals: Array, vectors: Array, threshold: float | None, drop: Sequence[int]
) -> GradientTable:
    """The table of a file without the volumes to ``drop``; its errors begin with the file's
    name.
    """
    try:
        kept = kept_volumes(len(bvals), drop)
        left = ", ".join(map(str, sorted(set(drop))))
        notes = (f"Left out as asked: volumes {left}, counted from 0.",) if left else ()
        return GradientTable(bvals[kept], vectors[kept], threshold, notes)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
