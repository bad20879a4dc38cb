r"""Gradient tables: a b-value (s/mm^2) and, where there is diffusion weighting, a unit direction
for every volume of a scan.

Directions are kept in world (scanner) axes, so that turning a volume leaves them as they are. FSL
writes them along the voxel axes of its image, with the first axis reversed where the affine A has a
positive determinant; hence

    world = R diag(s, 1, 1) fsl,   R the rotation (or reflection) nearest to A,
    s = -1 if det A > 0 else 1.

MRtrix tables (four columns: x y z b) hold world directions as they are. A volume at or below ``B0``
s/mm^2 has no direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError
from unfog.files.output import write_bytes

Array = NDArray[np.float64]

B0 = 50.0  # s/mm^2
SHELL_GAP = 80.0  # s/mm^2 between neighbours in a sorted list of b-values that part two shells
UNIT = 0.01  # directions are written with few digits, so lengths are only about 1
LAYOUTS = ("auto", "rows", "columns")


@dataclass(frozen=True)
class GradientTable:
    """``bvals`` (n,) in s/mm^2 and ``directions`` (n, 3), unit vectors in world axes, zero where
    ``bvals`` <= 50.

    ``InputError`` for what no scanner makes: negative or non-finite b-values, and volumes with
    diffusion weighting whose vector is missing, non-finite or not of unit length.
    """

    bvals: Array
    directions: Array

    def __post_init__(self) -> None:
        bvals, directions = (
            np.asarray(self.bvals, np.float64),
            np.asarray(self.directions, np.float64),
        )
        if bvals.ndim != 1 or directions.shape != (len(bvals), 3) or not len(bvals):
            raise InputError(
                f"A gradient table has n b-values and n x 3 directions, not {bvals.shape} and "
                f"{directions.shape}; match them."
            )
        _check_bvals(bvals)
        object.__setattr__(self, "bvals", bvals)
        object.__setattr__(self, "directions", _unit(bvals, directions))

    def __len__(self) -> int:
        return len(self.bvals)

    def __getitem__(self, volumes: Any) -> GradientTable:
        """The table of some of the volumes: a slice, a mask or a list."""
        return GradientTable(self.bvals[volumes], self.directions[volumes])

    @property
    def b0(self) -> NDArray[np.bool_]:
        """(n,), True for volumes without diffusion weighting."""
        return np.asarray(self.bvals <= B0)

    def along(self, affine: Array) -> GradientTable:
        """The table with its directions along the voxel axes of a volume with ``affine`` (4, 4):
        what a grid of voxels goes with.
        """
        return GradientTable(self.bvals, self.directions @ world_of_voxels(affine))

    def shells(self) -> dict[float, NDArray[np.int64]]:
        """The volumes of each shell by its mean b-value, b0 aside; b-values closer than 80 s/mm^2
        to a neighbour are of one shell.
        """
        weighted = np.flatnonzero(~self.b0)
        order = weighted[np.argsort(self.bvals[weighted], kind="stable")]
        parts = (
            np.split(order, np.flatnonzero(np.diff(self.bvals[order]) > SHELL_GAP) + 1)
            if len(order)
            else []
        )
        return {float(self.bvals[part].mean()): np.sort(part) for part in parts}


def as_table(gradients: Any, affine: Array | None = None) -> GradientTable:
    """``gradients`` as a ``GradientTable``: one as it is, or DIPY's, which keeps the vectors of an
    FSL file as they are.

    With the volume's ``affine`` those are turned into world axes; without it they stay along its
    voxels, which is all the same to whatever needs no place in the world.
    """
    if isinstance(gradients, GradientTable):
        return gradients
    if not hasattr(gradients, "bvals") or not hasattr(gradients, "bvecs"):
        raise InputError(
            "Gradients are a GradientTable of unfog or of DIPY, not a "
            f"{type(gradients).__name__}; read one with read_fsl."
        )
    turn = np.eye(3) if affine is None else fsl_to_world(affine)
    along = GradientTable(np.asarray(gradients.bvals), np.asarray(gradients.bvecs))
    return GradientTable(along.bvals, along.directions @ turn.T)


def well_spread(directions: Array, count: int) -> NDArray[np.int64]:
    """The numbers of ``count`` of the unit axes (n, 3), taken one by one where the others repel
    least (Jones et al. 1999).
    """
    chosen = [0]
    while len(chosen) < count:
        dots = np.clip(np.abs(directions @ directions[chosen].T), 0, 1)
        energy = (1 / np.sqrt(2 - 2 * dots + 1e-9) + 1 / np.sqrt(2 + 2 * dots)).sum(1)
        energy[chosen] = np.inf
        chosen.append(int(energy.argmin()))
    return np.sort(chosen)


def fsl_to_world(affine: Array) -> Array:
    """The orthogonal matrix (3, 3) that takes FSL's vectors of a volume with ``affine`` (4, 4) into
    world axes.
    """
    sign = -1.0 if np.linalg.det(affine[:3, :3]) > 0 else 1.0
    return world_of_voxels(affine) @ np.diag([sign, 1, 1])


def world_of_voxels(affine: Array) -> Array:
    """R (3, 3), the orthogonal matrix nearest to the voxel axes of ``affine``: it takes directions
    along them into world axes.
    """
    u, _, vt = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    return np.asarray(u @ vt)


def read_fsl(
    bvals: str | Path,
    bvecs: str | Path,
    affine: Array,
    volumes: int | None = None,
    layout: str = "auto",
) -> GradientTable:
    """FSL's two text files for a scan with ``affine`` (4, 4) and so many ``volumes``.

    ``layout`` says how vectors lie in the file: "rows" (3 rows, FSL's own), "columns" (3 columns)
    or "auto", which can tell unless there are exactly three.
    """
    values, vectors = _numbers(Path(bvals)), _numbers(Path(bvecs))
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
    along = _named(Path(bvecs), values.ravel(), vectors)
    return GradientTable(along.bvals, along.directions @ fsl_to_world(affine).T)


def read_mrtrix(path: str | Path, volumes: int | None = None) -> GradientTable:
    """An MRtrix table: a row of x y z b for each of so many ``volumes``; lines that begin with #
    are comments.
    """
    table = _numbers(Path(path))
    if table.shape[1] != 4:
        raise InputError(
            f"{Path(path).name} has {table.shape[1]} columns; an MRtrix table has four: x y z b."
        )
    _check_count(Path(path), len(table), volumes)
    return _named(Path(path), table[:, 3], table[:, :3])


def write_fsl(table: GradientTable, bvals: str | Path, bvecs: str | Path, affine: Array) -> None:
    """FSL's two files, in rows, for a volume with ``affine`` (4, 4)."""
    write_bytes(bvals, _text(table.bvals[None]))
    write_bytes(bvecs, _text((table.directions @ fsl_to_world(affine)).T))


def write_mrtrix(table: GradientTable, path: str | Path) -> None:
    """An MRtrix table, a row of x y z b a volume."""
    write_bytes(path, _text(np.concatenate([table.directions, table.bvals[:, None]], 1)))


def _text(rows: Array) -> bytes:
    return "".join(
        " ".join(f"{value + 0.0:.10g}" for value in row) + "\n" for row in rows
    ).encode()  # + 0.0 turns -0 into 0


def _numbers(path: Path) -> Array:
    """The numbers of a text file, (rows, columns)."""
    try:
        lines = [
            line.split("#")[0].replace(",", " ").split()
            for line in path.read_text("utf-8").splitlines()
        ]
        rows = [[float(word) for word in line] for line in lines if line]
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be read ({error.strerror}); check that it is a file and its "
            "permissions."
        ) from error
    except ValueError as error:  # UnicodeDecodeError among them
        raise InputError(
            f"{path.name} is not a text file of numbers; give the scan's gradient table."
        ) from error
    if not rows or len({len(row) for row in rows}) > 1:
        raise InputError(f"{path.name} is empty or its lines differ in length; export it again.")
    return np.array(rows, dtype=np.float64)


def _laid_out(path: Path, vectors: Array, layout: str) -> Array:
    """(n, 3) from either layout."""
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


def _named(path: Path, bvals: Array, vectors: Array) -> GradientTable:
    """The table, or its error with the file's name in front."""
    try:
        return GradientTable(bvals, vectors)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def _check_bvals(bvals: Array) -> None:
    bad = ~np.isfinite(bvals) | (bvals < 0)
    if bad.any():
        k = int(bad.argmax())
        raise InputError(
            f"Volume {k} has a b-value of {bvals[k]:g}; b-values are finite and 0 or more, so "
            "correct the table."
        )


def _unit(bvals: Array, vectors: Array) -> Array:
    """Vectors of exactly unit length; that of a b0 means nothing, whatever it is, and is 0."""
    weighted = bvals > B0
    length = np.linalg.norm(vectors, axis=1)
    bad = weighted & ~(np.abs(length - 1) <= UNIT)
    if bad.any():
        k = int(bad.argmax())
        shape = (
            "non-finite"
            if not np.isfinite(length[k])
            else "zero"
            if length[k] == 0
            else f"of length {length[k]:.4g}"
        )
        raise InputError(
            f"Volume {k} (b = {bvals[k]:g}) has a vector that is {shape}; directions are unit "
            "vectors, so correct the table."
        )
    return np.where(weighted[:, None], vectors / np.where(weighted, length, 1)[:, None], 0.0)
