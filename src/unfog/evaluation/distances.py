r"""Distances between two sets of features, and the comparison that makes them readable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.errors import InputError


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and unbiased covariance (d, d), float64, of features (n, d) with n > 1."""
    x = _checked(features)
    mean = x.mean(0)
    centred = x - mean
    return mean, centred.T @ centred / (len(x) - 1)


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The (squared) Frechet distance between Gaussians fitted to features (n, d) and (m, d).

    It is in squared units of features. For n samples it is biased upwards by about 1 / n.
    """
    return frechet_distance_of_moments(*moments(a), *moments(b))


def frechet_distance_of_moments(
    mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor
) -> float:
    """The (squared) Frechet distance between two Gaussians (Dowson & Landau 1982; Heusel et al.
    2017),

        |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^{1/2}).

    tr (C_1 C_2)^{1/2} is the sum of the singular values of L_1^T L_2 with C = L L^T: real and
    stable where C is singular.

    Args:
        mean_a: (d,).
        cov_a: (d, d).
        mean_b: (d,).
        cov_b: (d, d).

    Returns:
        The squared distance, 0 or more.

    Raises:
        InputError: The shapes do not match.
    """
    shapes = [tuple(v.shape) for v in (mean_a, cov_a, mean_b, cov_b)]
    d = len(mean_a)
    if shapes != [(d,), (d, d)] * 2:
        raise InputError(
            f"A Frechet distance needs means (d,) and covariances (d, d) of one d, got {shapes}."
        )
    means = mean_a.double() - mean_b.double()
    shared = torch.linalg.svdvals(_factor(cov_a).T @ _factor(cov_b)).sum()
    spread = cov_a.double().trace() + cov_b.double().trace() - 2 * shared
    return max(float(means @ means + spread), 0.0)


def _factor(cov: Tensor) -> Tensor:
    """L with L L^T = C."""
    values, vectors = torch.linalg.eigh(cov.double())
    root: Tensor = vectors * values.clamp(min=0).sqrt()
    return root


@dataclass(frozen=True)
class KID:
    """A kernel inception distance: ``value``, its mean over ``blocks``, and ``error``, the standard
    error of that (nan for one block). It is unbiased, and below zero half the time when the sets
    agree.
    """

    value: float
    error: float
    blocks: int


def kid(a: Tensor, b: Tensor, block: int = 500, seed: int = 0) -> KID:
    """The kernel inception distance (Binkowski et al. 2018), a mean over shuffled disjoint blocks,
    whose spread gives its standard error (Zaremba et al. 2013).

    Args:
        a: (n, d), features.
        b: (m, d), features.
        block: Samples of each set in a block; the size of the smaller set, if that is smaller.
        seed: Of the shuffling.

    Returns:
        The distance with its error.

    Raises:
        InputError: The features are not of one width, or fewer than 2.
    """
    x, y = _checked(a), _checked(b)
    if x.shape[1] != y.shape[1]:
        raise InputError(f"KID needs features of one width, got {x.shape[1]} and {y.shape[1]}.")
    # Shuffled, disjoint blocks of both sets.
    size = min(block, len(x), len(y))
    blocks = min(len(x), len(y)) // size
    x, y = (
        v[torch.randperm(len(v), generator=generator(seed, "kid", name))]
        for v, name in ((x, "a"), (y, "b"))
    )
    values = torch.stack(
        [polynomial_mmd(x[i : i + size], y[i : i + size]) for i in range(0, blocks * size, size)]
    )
    # The standard error of their mean.
    error = float(values.std() / blocks**0.5) if blocks > 1 else float("nan")
    return KID(float(values.mean()), error, blocks)


def polynomial_mmd(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased squared maximum mean discrepancy of x (n, d) and y (m, d), a scalar,

    E k(x, x') + E k(y, y') - 2 E k(x, y),   k = (x.y / d + 1)^3.
    """

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        return (p @ q.T / p.shape[1] + 1) ** 3

    def within(p: Tensor) -> Tensor:
        k = kernel(p, p)
        return (k.sum() - k.trace()) / (len(p) * (len(p) - 1))

    return within(x) + within(y) - 2 * kernel(x, y).mean()


def _checked(features: Tensor) -> Tensor:
    """Features (n, d) as float64; `InputError` for others or fewer than 2."""
    if features.ndim != 2 or len(features) < 2:
        raise InputError(
            f"Features must be (n, d) with n of 2 or more, got {tuple(features.shape)}."
        )
    return features.double()


@dataclass(frozen=True)
class Comparison:
    """Distances of generated from real, and of real from real at the same number of images: the
    floor, as distances of finite sets are not 0.
    """

    n: int
    n_reference: int
    frechet: float
    frechet_floor: float
    kid: KID
    kid_floor: KID


def compare(generated: Tensor, reference: Tensor, real: Tensor) -> Comparison:
    """Distances of generated images from a reference, and of other real images from it.

    The Frechet distance of n samples is biased by about 1 / n, so the floor means something only at
    the same n.

    Args:
        generated: (n, d), features.
        reference: (m, d), of real images.
        real: (n, d), of other real images.

    Returns:
        The distances and their floors.

    Raises:
        InputError: There are not as many real images as generated ones.
    """
    if len(real) != len(generated):
        raise InputError(
            f"The floor needs as many real images as generated ones, got {len(real)} and "
            f"{len(generated)}."
        )
    return Comparison(
        len(generated),
        len(reference),
        frechet_distance(generated, reference),
        frechet_distance(real, reference),
        kid(generated, reference),
        kid(real, reference),
    )
