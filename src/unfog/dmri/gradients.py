r"""Gradient tables: the b-value of every volume of a scan and the direction of its diffusion
weighting (``gradient_files`` reads and writes them).

b-values are in s/mm^2. Directions are kept in world (scanner) axes, so that turning a volume leaves
them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError

Array = NDArray[np.float64]

B0 = 50.0  # s/mm^2: volumes up to here have no diffusion weighting
LOW = 100.0  # s/mm^2: below it, the lowest b-values of a table without b0 are its b0
SHARE, WIDTH = 0.1, 50.0  # of b, and in s/mm^2: how wide a shell may be, whichever is more
SCANNER_OFFSET, LARGEST = 1e9, 1e5  # what some GE scanners add to b; s/mm^2 that no scanner reaches
UNIT = 0.01  # directions are written with few digits, so lengths are only about 1


@dataclass(frozen=True)
class GradientTable:
    """A b-value and a unit direction for each volume of a scan.

    Args:
        bvals: (n,), in s/mm^2. Where 10^9 was added to them, as some GE scanners do, it is taken
            off.
        directions: (n, 3), unit vectors in world axes; a volume at b = 0 has none, and its row
            becomes 0.
        threshold: Up to this b a volume counts as b = 0. By default 50; where no volume lies there,
            the largest of the lowest b-values, if that is under 100.
        notes: What was done to the table, in sentences; added to where a default was departed from.

    Raises:
        InputError: The shapes do not match, a b-value is negative, not finite or above 100,000, or
            a volume with diffusion weighting has a vector that is missing, not finite or not of
            unit length.
    """

    bvals: Array
    directions: Array
    threshold: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bvals, offset = _without_offset(np.asarray(self.bvals, np.float64))
        directions = np.asarray(self.directions, np.float64)
        if bvals.ndim != 1 or directions.shape != (len(bvals), 3) or not len(bvals):
            raise InputError(
                f"A gradient table has n b-values and n x 3 directions, not {bvals.shape} and "
                f"{directions.shape}; match them."
            )
        _check_bvals(bvals)
        automatic = self.threshold is None
        threshold = b0_threshold(bvals) if self.threshold is None else float(self.threshold)
        notes = list(self.notes) + [
            f"{offset} b-values had 10^9 added to them, as GE's scanners do, which was taken off."
        ] * bool(offset)
        if automatic and threshold != B0:
            low = bvals[bvals <= threshold]
            notes.append(
                f"No volume has b <= {B0:g}; the {len(low)} of b = {low.min():g} to {low.max():g} "
                "count as b = 0 (--b0-threshold says otherwise)."
            )
        object.__setattr__(self, "bvals", bvals)
        object.__setattr__(self, "threshold", threshold)
        object.__setattr__(self, "notes", tuple(notes))
        object.__setattr__(self, "directions", _unit(bvals, directions, threshold))

    def __len__(self) -> int:
        return len(self.bvals)

    def __getitem__(self, volumes: Any) -> GradientTable:
        """The table of some of the volumes: a slice, a mask or a list."""
        return replace(self, bvals=self.bvals[volumes], directions=self.directions[volumes])

    @property
    def b0(self) -> NDArray[np.bool_]:
        """(n,), True for volumes without diffusion weighting."""
        assert self.threshold is not None  # set when the table was made
        return np.asarray(self.bvals <= self.threshold)

    def along(self, affine: Array) -> GradientTable:
        """The table with its directions along the voxel axes of a volume with ``affine`` (4, 4)."""
        return replace(self, directions=self.directions @ world_of_voxels(affine))

    def shells(self) -> dict[float, NDArray[np.int64]]:
        """The volumes of each shell, as indices, by the shell's mean b-value; volumes at b = 0 are
        in none.

        A shell is at most 10 % of b wide, or 50 s/mm^2 where that is more; from the lowest b-value
        on, each shell takes what lies within that of its first.
        """
        weighted = np.flatnonzero(~self.b0)
        order = weighted[np.argsort(self.bvals[weighted], kind="stable")]
        parts: list[list[int]] = []
        for volume in order:
            first = self.bvals[parts[-1][0]] if parts else -np.inf
            if self.bvals[volume] - first <= shell_width(first):
                parts[-1].append(int(volume))
            else:
                parts.append([int(volume)])
        return {float(self.bvals[part].mean()): np.sort(np.array(part)) for part in parts}


def shell_width(b: float) -> float:
    """How far above its lowest b-value a shell may reach, in s/mm^2."""
    return max(WIDTH, SHARE * b)


def b0_threshold(bvals: Array) -> float:
    """The b-value up to which volumes count as b = 0, s/mm^2.

    50, where some volume has no more. Else the top of the lowest b-values, those within 50 of the
    smallest, if it is under 100: protocols at 7 T list their b = 0 at 55 to 65.
    """
    lowest = bvals[bvals <= bvals.min() + WIDTH] if len(bvals) else bvals
    if not len(lowest) or lowest.min() <= B0 or lowest.max() >= LOW:
        return B0
    return float(lowest.max())


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
    return replace(along, directions=along.directions @ turn.T)


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


def _without_offset(bvals: Array) -> tuple[Array, int]:
    """b-values without the 10^9 that some GE scanners add, and how many had it."""
    added = (bvals >= SCANNER_OFFSET) & (bvals <= SCANNER_OFFSET + LARGEST)
    return np.where(added, bvals - SCANNER_OFFSET, bvals), int(added.sum())


def _check_bvals(bvals: Array) -> None:
    """`InputError` for a b-value that is negative, not finite or out of any scanner's reach."""
    bad = ~np.isfinite(bvals) | (bvals < 0) | (bvals > LARGEST)
    if bad.any():
        k = int(bad.argmax())
        reason = f"at most {LARGEST:,.0f} s/mm^2" if bvals[k] > LARGEST else "0 or more"
        raise InputError(
            f"Volume {k} has a b-value of {bvals[k]:.10g}; b-values are finite and {reason}, so "
            "correct the table."
        )


def _unit(bvals: Array, vectors: Array, threshold: float) -> Array:
    """Vectors scaled to unit length; those of volumes at b = 0 become 0."""
    weighted = bvals > threshold
    length = np.linalg.norm(vectors, axis=1)
    bad = weighted & ~(np.abs(length - 1) <= UNIT)
    if bad.any():
        k = int(bad.argmax())
        shape = "zero" if length[k] == 0 else f"of length {length[k]:.4g}"
        shape = shape if np.isfinite(length[k]) else "non-finite"
        raise InputError(
            f"Volume {k} (b = {bvals[k]:g}) has a vector that is {shape}; directions are unit "
            f"vectors, so correct the table or leave the volume out (--drop-volumes {k})."
        )
    return np.where(weighted[:, None], vectors / np.where(weighted, length, 1)[:, None], 0.0)
