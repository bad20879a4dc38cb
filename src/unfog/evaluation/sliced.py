r"""The sliced Wasserstein distance of two sets of samples."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.errors import InputError

DIRECTIONS = 128


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int = DIRECTIONS, seed: int = 0) -> float:
    """The sliced 2-Wasserstein distance (Rabin et al. 2011; Bonneel et al. 2015),

        sqrt( E_u W_2^2(u.a, u.b) ),     u uniform on the sphere,

    of as many samples of each. In one dimension W_2^2 is the mean square of the differences of
    sorted values. In units of the features, times 1 / sqrt(d).

    Args:
        a: (n, d).
        b: (n, d).
        directions: How many u stand for all.
        seed: Of the directions.

    Returns:
        The distance.

    Raises:
        InputError: The shapes differ.
    """
    if a.shape != b.shape or a.ndim != 2:
        raise InputError(
            "A sliced Wasserstein distance needs as many features (n, d) of each kind, got "
            f"{tuple(a.shape)} and {tuple(b.shape)}."
        )
    first, second = projections(a, b, directions, seed)
    return sliced_of_projections(first, second)


def projections(
    a: Tensor, b: Tensor, directions: int = DIRECTIONS, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Features (n, d) and (m, d) along random directions: (directions, n) and (directions, m)."""
    u = torch.randn(a.shape[1], directions, generator=generator(seed, "slices")).to(a)
    u = u / u.norm(dim=0)
    return (a @ u).T.contiguous(), (b @ u).T.contiguous()


def sliced_of_projections(first: Tensor, second: Tensor) -> float:
    """The distance of sets along directions, (directions, n) both."""
    gap = first.double().sort(1).values - second.double().sort(1).values
    return float(gap.square().mean().sqrt())
