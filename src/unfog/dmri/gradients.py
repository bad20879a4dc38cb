r"""Gradient tables: the b-value of every volume of a scan and the direction of its diffusion
weighting, and the text files of FSL and MRtrix that hold them.

b-values are in s/mm^2. Directions are kept in world (scanner) axes, so that turning a volume leaves
them as they are.
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
    """A b-value and a unit direction for each volume of a scan.

    Args:
        bvals: (n,), in s/mm^2.
        directions: (n, 3), unit vectors in world axes; a volume with b <= 50 has none, and its row
            becomes 0.

    Raises:
        InputError: The shapes do not match, a b-value is negative or not finite, or a volume with
            diffusion weighting has a vector that is missing, not finite or not of unit length.
    """

    bvals: Array
    directions: Array

    def __post_init__(self) -> None:
        bvals = np.asarray(self.bvals, np.float64)
        directions = np.asarray(self.directions, np.float64)
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
        """The table with its directions along the voxel axes of a volume with ``affine`` (4, 4)."""
        return GradientTable(self.bvals, self.directions @ world_of_voxels(affine))

    def shells(self) -> dict[float, NDArray[np.int64]]:
        """The volumes of each shell, as indices, by the shell's mean b-value; volumes at b = 0 are
        in none.

        Sorted b-values belong to one shell while neighbours are within 80 s/mm^2 of each other.
        """
        weighted = np.flatnonzero(~self.b0)
        order = weighted[np.argsort(self.bvals[weighted], kind="stable")]
        cuts = np.flatnonzero(np.diff(self.bvals[order]) > SHELL_GAP) + 1
        parts = np.split(order, cuts) if len(order) else []
        return {float(self.bvals[part].mean()): np.sort(part) for part in parts}


def as_table(gradients: Any, affine: Array | None = None) -> GradientTable:
    """``gradients`` of unfog or of DIPY, which keeps the vectors of an FSL file as they are, as a
    ``GradientTable``.

    With the volume's ``affine`` (4, 4) DIPY's vectors are turned into world axes; without it they
    stay along the voxel axes, which serves where no place in the world matters.
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
    """The numbers of ``count`` well spread axes among unit vectors (n, 3), sorted: one after the
    other, the axis of least energy 1 / |u - v| + 1 / |u + v| to those taken before (Jones et al.
    1999).
    """
    axes = [0]
    while len(axes) < count:
        # |u - v|^2 = 2 - 2 u.v, and |u + v|^2 = 2 + 2 u.v.
        dots = np.clip(np.abs(directions @ directions[axes].T), 0, 1)
        energy = (1 / np.sqrt(2 - 2 * dots + 1e-9) + 1 / np.sqrt(2 + 2 * dots)).sum(1)
        energy[axes] = np.inf
        axes.append(int(energy.argmin()))
    return np.sort(axes)


def fsl_to_world(affine: Array) -> Array:
    """The orthogonal matrix (3, 3) from FSL's vectors of a volume with ``affine`` A (4, 4) to world
    axes.

    FSL's are along the voxel axes, the first axis reversed where A has a positive determinant:

        world = R diag(s, 1, 1) fsl,   s = -1 if det A > 0 else 1,

    R the rotation (or reflection) nearest to A (``world_of_voxels``).
    """
    sign = -1.0 if np.linalg.det(affine[:3, :3]) > 0 else 1.0
    return world_of_voxels(affine) @ np.diag([sign, 1, 1])


def world_of_voxels(affine: Array) -> Array:
    """R (3, 3), the orthogonal matrix nearest to the axes of ``affine`` (4, 4): from voxel to world
    axes.
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
    """Read FSL's two text files.

    Args:
        bvals: The file of b-values, one row or one column.
        bvecs: The file of vectors.
        affine: (4, 4), of the scan.
        volumes: The number of volumes of the scan, to check the files against.
        layout: How vectors lie in the file: "rows" (3 rows, FSL's own), "columns" (3 columns) or
            "auto", which can tell unless there are exactly three.

    Returns:
        The table, in world axes.

    Raises:
        InputError: A file cannot be read, or the two do not describe one scan of so many volumes.
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
    """Read an MRtrix table: a row of x y z b for each volume, in world axes; # begins a comment.

    ``volumes`` is the number of volumes of the scan, to check the file against.
    """
    table = _numbers(Path(path))
    if table.shape[1] != 4:
        raise InputError(
            f"{Path(path).name} has {table.shape[1]} columns; an MRtrix table has four: x y z b."
        )
    _check_count(Path(path), len(table), volumes)
    return _named(Path(path), table[:, 3], table[:, :3])


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
    write_bytes(path, _text(np.concatenate([table.directions, table.bvals[:, None]], 1)))


def _text(rows: Array) -> bytes:
    """Rows of numbers as text; + 0.0 turns -0 into 0."""
    return "".join(" ".join(f"{value + 0.0:.10g}" for value in row) + "\n" for row in rows).encode()


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


def _named(path: Path, bvals: Array, vectors: Array) -> GradientTable:
    """The table of a file; its errors begin with the file's name."""
    try:
        return GradientTable(bvals, vectors)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def _check_bvals(bvals: Array) -> None:
    """`InputError` for a b-value that is negative or not finite."""
    bad = ~np.isfinite(bvals) | (bvals < 0)
    if bad.any():
        k = int(bad.argmax())
        raise InputError(
            f"Volume {k} has a b-value of {bvals[k]:g}; b-values are finite and 0 or more, so "
            "correct the table."
        )


def _unit(bvals: Array, vectors: Array) -> Array:
    """Vectors scaled to unit length; those of volumes at b = 0 become 0."""
    weighted = bvals > B0
    length = np.linalg.norm(vectors, axis=1)
    bad = weighted & ~(np.abs(length - 1) <= UNIT)
    if bad.any():
        k = int(bad.argmax())
        shape = "zero" if length[k] == 0 else f"of length {length[k]:.4g}"
        shape = shape if np.isfinite(length[k]) else "non-finite"
        raise InputError(
            f"Volume {k} (b = {bvals[k]:g}) has a vector that is {shape}; directions are unit "
            "vectors, so correct the table."
        )
    return np.where(weighted[:, None], vectors / np.where(weighted, length, 1)[:, None], 0.0)
