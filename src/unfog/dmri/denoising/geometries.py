r"""Volumes of two geometries in one series, told from the data: two phase encodings without
sidecars, most of all, which displace tissue to opposite sides.

Within a shell a voxel's signals are smooth in direction. What harmonics leave, (1 - P) y, is noise
and what volumes have of their own. If each volume is of one of two geometries, most of that is one
image D times one of two numbers for each volume:

    (1 - P) y ~ D v^T,   v = (1 - P) s,   s_k = +-1.

Drift and motion give such an image too, but no two numbers; and a head that moved once between two
positions gives a D that turning, shifting and brightening the mean image explain.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.dmri.gradients import GradientTable
from unfog.dmri.harmonics import count, design

# Of harmonics, and how many times as many directions a shell must have: P takes as much of s away.
ORDERS = {2: 2, 4: 4}
FEWEST = 6  # volumes of each geometry in a shell
TWO_VALUED = 0.97  # the least correlation of v with two numbers
STARTS = 40  # of the search for the two numbers
CLEAR = 1.8  # times the largest eigenvalue of noise, that of D must be
RIGID = 0.25  # the share of D explained by shifts, turns and brightness, from which it is motion

Array = NDArray[Any]


class Geometries(NamedTuple):
    """Two geometries: ``group`` (volumes,) is 0 or 1 for each; ``two_valued`` the correlation of v
    with two numbers; ``strength`` D's eigenvalue over the largest of noise; ``rigid`` the share of
    D that motion and brightness explain.
    """

    group: NDArray[np.int64]
    two_valued: float
    strength: float
    rigid: float

    @property
    def clear(self) -> bool:
        """Whether the volumes are clearly of two geometries that no motion explains."""
        return bool(
            self.two_valued >= TWO_VALUED
            and self.strength >= CLEAR
            and self.rigid <= RIGID
            and min(np.bincount(self.group, minlength=2)) >= FEWEST
        )


def two_geometries(
    data: Array, gradients: GradientTable, inside: NDArray[np.bool_], level: Array
) -> Geometries | None:
    """The likeliest two geometries of a scan's volumes, and how likely they are.

    Args:
        data: (X, Y, Z, volumes), as acquired.
        gradients: The scan's table.
        inside: (X, Y, Z), the head.
        level: (X, Y, Z), the deviation of the noise.

    Returns:
        The geometries, of which ``clear`` says whether to believe in them; None where no shell has
        enough directions, or the scan has no noise.
    """
    shells = list(gradients.shells().values())
    shell = max(shells, key=len, default=np.zeros(0, np.int64))
    if len(shell) < ORDERS[2] * count(2) or not (inside & (level > 0)).any():
        return None
    inside = inside & (level > 0)
    scale = level[inside][:, None].astype(np.float64)
    # What harmonics leave of the largest shell, over the noise.
    rest, off = _remainder(data[inside][:, shell] / scale, gradients.directions[shell])
    values, vectors = np.linalg.eigh(rest.T @ rest / len(rest))
    v = vectors[:, -1]
    s, two_valued = _two_numbers(v, off)
    edge = (1 + math.sqrt(len(shell) / len(rest))) ** 2
    image = rest @ v  # D
    group = _sides(data[inside] / scale, gradients.directions, shell, s)
    mean = data[..., shell].mean(-1) / np.where(level > 0, level, 1)
    # Of the power of D one part is noise's, which nothing explains.
    rigid = _rigid_share(image, mean, inside) * values[-1] / max(values[-1] - 1, 1e-6)
    return Geometries(group, two_valued, float(values[-1]) / edge, float(rigid))


def _remainder(y: Array, directions: Array) -> tuple[Array, Array]:
    """(1 - P) y of signals (n, N), and 1 - P (N, N): P the projection to harmonics, or the mean of
    signals without weighting or of few directions.
    """
    enough = [k for k, times in ORDERS.items() if times * count(k) <= len(directions)]
    orders = enough if directions.any() else []
    matrix = np.ones((len(directions), 1))
    if orders:
        matrix = design(torch.from_numpy(directions), orders[-1]).numpy()
    off = np.eye(len(directions)) - matrix @ np.linalg.pinv(matrix)
    return y @ off, off


def _two_numbers(v: Array, off: Array) -> tuple[Array, float]:
    """The s (N,) of +-1 of which ``off`` s is most like ``v``, and their correlation: the best of
    searches from the signs of v, and of v with something of what ``off`` takes away.
    """
    random = np.random.default_rng(0)
    hidden = random.standard_normal((STARTS, len(v))) @ (np.eye(len(v)) - off)
    hidden *= np.linalg.norm(v) / np.linalg.norm(hidden, axis=1, keepdims=True)
    starts = [v, *(v + one for one in hidden)]
    found = [_climbed(np.where(start > 0, 1.0, -1.0), v, off) for start in starts]
    return max(found, key=lambda one: one[1])


def _climbed(s: Array, v: Array, off: Array) -> tuple[Array, float]:
    """From ``s`` on, one sign or two are changed as long as that makes ``off`` s more like v."""
    best = 0.0
    while True:
        # v s and s' off s with the signs k and m changed; on the diagonal, with k alone.
        rest, along, diagonal = off @ s, v * s, np.diag(off)
        one, both = -4 * s * rest + 4 * diagonal, 8 * np.outer(s, s) * off
        np.fill_diagonal(both, 0)
        product = v @ s - 2 * (along[:, None] + along * (1 - np.eye(len(s))))
        power = s @ rest + one[:, None] + one * (1 - np.eye(len(s))) + both
        likeness = np.abs(product) / np.sqrt(np.maximum(power, 1e-12))
        k, m = np.unravel_index(int(likeness.argmax()), likeness.shape)
        stands = abs(float(v @ s)) / math.sqrt(max(float(s @ rest), 1e-12))
        if likeness[k, m] <= max(stands, best) + 1e-9:
            return s, stands
        best = float(likeness[k, m])
        s[k] = -s[k]
        if m != k:
            s[m] = -s[m]


def _sides(y: Array, directions: Array, shell: NDArray[np.int64], s: Array) -> NDArray[np.int64]:
    """The group of each of the volumes ``y`` (n, volumes), given those of a shell, ``s`` (N,) +-1:
    a volume outside the shell is of the group whose harmonics predict it better.
    """
    group = np.zeros(y.shape[1], np.int64)
    group[shell] = s > 0
    others = np.setdiff1d(np.arange(y.shape[1]), shell)
    left = []
    for side in (-1, 1):
        some = shell[s == side]
        known = _features(y[:, some], directions[some])
        predicted = known @ np.linalg.lstsq(known, y[:, others], rcond=None)[0]
        left.append(np.square(y[:, others] - predicted).sum(0))
    group[others] = left[1] < left[0]
    return group


def _features(y: Array, directions: Array) -> Array:
    """What predicts a volume from others, (n, 11): harmonics to order 2 of signals (n, N), the size
    of those of order 2, and products.
    """
    harmonics = y @ np.linalg.pinv(design(torch.from_numpy(directions), 2).numpy()).T
    mean, size = harmonics[:, 0], np.linalg.norm(harmonics[:, 1:], axis=1)
    products = [np.ones_like(mean), mean**2, size, size**2, mean * size]
    return np.column_stack([harmonics, *products])


def _rigid_share(image: Array, mean: Array, inside: NDArray[np.bool_]) -> float:
    """The share of ``image`` (n,) that small shifts and turns of the ``mean`` (X, Y, Z), and its
    brightness, explain by least squares.
    """
    slopes = [
        np.gradient(mean, axis=k) if mean.shape[k] > 1 else np.zeros_like(mean) for k in range(3)
    ]
    x, y, z = (np.arange(n) - (n - 1) / 2 for n in mean.shape)
    places = np.meshgrid(x, y, z, indexing="ij")
    turns = [places[a] * slopes[b] - places[b] * slopes[a] for a, b in ((0, 1), (0, 2), (1, 2))]
    columns = np.stack([one[inside] for one in (mean, *slopes, *turns)], 1)
    fitted = columns @ np.linalg.lstsq(columns, image, rcond=None)[0]
    return float(np.square(fitted).sum() / max(np.square(image).sum(), 1e-30))
