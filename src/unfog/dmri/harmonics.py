r"""Real spherical harmonics of even order, and rotations of functions given by them.

An antipodally symmetric function on the sphere is f(u) = sum_lm c_lm Y_lm(u), with coefficients
ordered by l = 0, 2, .., and by m = -l .. l within each l: (order + 1)(order + 2) / 2 numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations, product

import torch
from torch import Tensor

from unfog.core.registry import unknown
from unfog.errors import InputError


@dataclass(frozen=True)
class Basis:
    """How a real basis is made of the complex harmonics

        Y_l^m(u) = (-1)^m N_lm Q_lm(z) (x + i y)^m,   Q_lm = d^m P_l / dz^m,
        N_lm^2 = (2l + 1) / (4 pi) (l - m)! / (l + m)!

    for m >= 0, of which a real basis takes the real or the imaginary part:

        descoteaux07          sqrt(2) Re Y_l^m   at m < 0,   sqrt(2) Im Y_l^m at m > 0
        descoteaux07-legacy   sqrt(2) Re Y_l^|m| at m < 0,   sqrt(2) Im Y_l^m at m > 0
        tournier07, mrtrix3   sqrt(2) Im Y_l^|m| at m < 0,   sqrt(2) Re Y_l^m at m > 0
        tournier07-legacy             Im Y_l^|m| at m < 0,           Re Y_l^m at m > 0

    (Descoteaux et al. 2007; the legacy form is DIPY's default. Tournier et al. 2007, 2019; the
    legacy form is MRtrix 0.2's.)

    ``sines`` is the sign of m where the imaginary part stands; ``alternates``, whether m < 0 has
    another factor (-1)^m; ``norm``, the factor of m != 0.
    """

    sines: int
    alternates: bool
    norm: float


BASES: Mapping[str, Basis] = {
    "descoteaux07": Basis(1, True, math.sqrt(2)),
    "descoteaux07-legacy": Basis(1, False, math.sqrt(2)),
    "tournier07": Basis(-1, False, math.sqrt(2)),
    "mrtrix3": Basis(-1, False, math.sqrt(2)),
    "tournier07-legacy": Basis(-1, False, 1.0),
}
OWN = "tournier07"  # the basis of everything in unfog that does not say otherwise


def count(order: int) -> int:
    """The number of coefficients up to an even ``order``; `InputError` for an odd one."""
    if order < 0 or order % 2:
        raise InputError(
            f"The order of an antipodally symmetric function is even and at least 0, not {order}."
        )
    return (order + 1) * (order + 2) // 2


def indices(order: int) -> list[tuple[int, int]]:
    """(l, m) of each coefficient, in order."""
    count(order)
    return [(degree, m) for degree in range(0, order + 1, 2) for m in range(-degree, degree + 1)]


def degrees(order: int) -> Tensor:
    """l of each coefficient, (count,)."""
    return torch.tensor([degree for degree, _ in indices(order)])


def design(directions: Tensor, order: int, basis: str = OWN) -> Tensor:
    """The design matrix of a spherical-harmonic fit: Y_lm(u) for each direction and coefficient.

    Args:
        directions: (N, 3), unit vectors.
        order: Highest l, even.
        basis: A name in ``BASES``, which see ``Basis`` for.

    Returns:
        (N, count), float64.

    Raises:
        InputError: No such basis, an odd order, or directions that are not unit vectors.
    """
    u = unit(directions)
    if basis not in BASES:
        raise unknown("spherical-harmonic basis", basis, BASES)
    convention, powers, columns = BASES[basis], torch.complex(u[:, 0], u[:, 1]), []
    for degree, m in indices(order):
        size = abs(m)
        # The real or imaginary part of (x + i y)^|m|.
        complex_part = powers**size
        part = complex_part.imag if m * convention.sines > 0 else complex_part.real
        # (-1)^m of Y_l^m, twice where m < 0 has its own
        sign = (-1) ** size if not (convention.alternates and m < 0) else 1
        columns.append(
            sign
            * (convention.norm if m else 1.0)
            * _normalised(degree, size)
            * _legendre_derivative(degree, size, u[:, 2])
            * part
        )
    return torch.stack(columns, 1)


def unit(directions: Tensor) -> Tensor:
    """The directions as float64, or ``InputError`` unless they are (N, 3), finite and of unit
    length to 1 %.
    """
    u: Tensor = torch.as_tensor(directions, dtype=torch.float64)
    if u.ndim != 2 or u.shape[1] != 3:
        raise InputError(f"Directions are an array (N, 3), got the shape {tuple(u.shape)}.")
    length: Tensor = torch.linalg.vector_norm(u, dim=1, keepdim=True)
    if not bool(((length - 1).abs() < 0.01).all()):
        raise InputError(
            "Directions must be unit vectors; normalise them, and leave out those of volumes "
            "without diffusion weighting."
        )
    return u / length


def _normalised(degree: int, m: int) -> float:
    """N_lm."""
    return math.sqrt(
        (2 * degree + 1) / (4 * math.pi) * math.factorial(degree - m) / math.factorial(degree + m)
    )


def _legendre_derivative(degree: int, m: int, z: Tensor) -> Tensor:
    """Q_lm(z), the m-th derivative of the Legendre polynomial P_l, l = ``degree``, by the
    recurrence

        (n - m + 1) Q_(n+1) = (2n + 1) z Q_n - (n + m) Q_(n-1),   Q_m = (2m - 1)!!.
    """
    before, now = torch.zeros_like(z), torch.full_like(z, math.prod(range(1, 2 * m, 2)))
    for n in range(m, degree):
        before, now = now, ((2 * n + 1) * z * now - (n + m) * before) / (n - m + 1)
    return now


def fit(signals: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares coefficients c = (B^T B)^-1 B^T s of ``signals`` (..., N), ``matrix`` B (N,
    count).

    Returns the coefficients (..., count), and their covariance (B^T B)^-1 (count, count) for noise
    of variance 1. Raises `InputError` where B has fewer than ``count`` independent rows.
    """
    rows, columns = matrix.shape
    if rows < columns or int(torch.linalg.matrix_rank(matrix)) < columns:
        raise InputError(
            f"{rows} directions do not determine {columns} coefficients; measure more, or lower "
            "the order."
        )
    covariance = torch.linalg.inv(matrix.T @ matrix)
    return signals @ (matrix @ covariance).to(signals), covariance


def rotation(turn: Tensor, order: int, basis: str = OWN) -> Tensor:
    """The matrix D that takes the coefficients of f(u) to those of f(turn^-1 u): Wigner's, for a
    real basis.

    Rotations map each order onto itself, so a least-squares fit to the turned harmonics at enough
    directions is exact.

    Args:
        turn: (3, 3), orthogonal.
        order: Highest l, even.
        basis: A name in ``BASES``.

    Returns:
        (count, count), float64.

    Raises:
        InputError: ``turn`` is not orthogonal, or the order is odd.
    """
    turn = torch.as_tensor(turn, dtype=torch.float64)
    if turn.shape != (3, 3) or not bool(
        torch.allclose(turn @ turn.T, torch.eye(3, dtype=torch.float64), atol=1e-9)
    ):
        raise InputError("A rotation of harmonics needs an orthogonal 3 x 3 matrix.")
    sphere = fibonacci(4 * count(order))
    matrix = torch.linalg.lstsq(
        design(sphere, order, basis), design(sphere @ turn, order, basis)
    ).solution
    degree = degrees(order)
    # Rounding leaves small entries between orders, which are exactly 0.
    return torch.where(degree[:, None] == degree, matrix, 0.0)


def fibonacci(n: int) -> Tensor:
    """``n`` directions spread evenly over the sphere along Fibonacci's spiral, (n, 3) float64."""
    i = torch.arange(n, dtype=torch.float64) + 0.5
    z, angle = 1 - 2 * i / n, math.pi * (1 + math.sqrt(5)) * i
    s = (1 - z**2).sqrt()
    return torch.stack([s * angle.cos(), s * angle.sin(), z], 1)


def octahedral() -> list[Tensor]:
    """The 48 symmetries of the cube, orthogonal matrices (3, 3) with entries 0, 1 and -1, which map
    a voxel grid exactly onto itself.
    """
    eye = torch.eye(3, dtype=torch.float64)
    return [
        eye[list(order)] * torch.tensor(signs, dtype=torch.float64)
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ]


def turn_volume(x: Tensor, turn: Tensor) -> Tensor:
    """A volume (..., X, Y, Z) turned about its centre by ``turn`` (3, 3), one of the ``octahedral``
    symmetries: the voxel at p moves to turn p.
    """
    source = [int(row.abs().argmax()) for row in turn]  # the old axis that becomes each new one
    moved = x.movedim([axis - 3 for axis in source], [-3, -2, -1])
    flipped = [axis - 3 for axis in range(3) if turn[axis, source[axis]] < 0]
    return moved.flip(flipped) if flipped else moved
