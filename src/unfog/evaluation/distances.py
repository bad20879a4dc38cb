r"""Distances between two sets of features, and the comparison that makes them readable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.errors import InputError

BLOCK, ROWS = 256, 1024  # columns and rows of a product at a time
CONDITION = 1e-4  # of the least to the largest of Cholesky's diagonal
RANK = 1e-10  # of the largest eigenvalue: those below it count as none


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of a set.

    Args:
        mean: (d,).
        cov: (d, d).
    """

    mean: Tensor
    cov: Tensor

    @cached_property
    def root(self) -> Tensor:
        """L (d, rank) with L L^T = C: Cholesky's, or where C is near to singular by its
        eigenvalues, those of about 0 left out.
        """
        cov = self.cov.double()
        factor, failed = torch.linalg.cholesky_ex(cov)
        diagonal = factor.diagonal()
        root: Tensor = factor
        if int(failed) or not float(diagonal.min()) > CONDITION * float(diagonal.max()):
            values, vectors = torch.linalg.eigh(cov)
            there = values > RANK * values[-1].clamp(min=1e-300)
            root = vectors[:, there] * values[there].sqrt()
        return root


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and unbiased covariance (d, d), float64, of features (n, d) with n > 1."""
    x = _kept(features)
    mean = x.double().mean(0)
    # Centred, float32 keeps its digits: the distance of 5000 x 1280 features changes by 1e-8.
    return mean, _gram((x - mean).to(x.dtype)) / (len(x) - 1)


def _gram(x: Tensor) -> Tensor:
    """x^T x in float64, the half below the diagonal once; blocks of rows in the type of x."""
    gram = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    for start in range(0, x.shape[1], BLOCK):
        columns = slice(start, start + BLOCK)
        for part in torch.split(x, ROWS):
            gram[start:, columns] += part[:, start:].T @ part[:, columns]
        gram[columns, start:] = gram[start:, columns].T.clone()
    return gram


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

    tr (C_1 C_2)^{1/2} is the sum of the roots of the eigenvalues of L^T C_2 L with C_1 = L L^T,
    which is symmetric.

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
    # On the smaller of both subspaces no eigenvalue is 0, whose root would lose half the digits.
    given = Moments(mean_a, cov_a), Moments(mean_b, cov_b)
    a, b = sorted(given, key=lambda one: one.root.shape[1])
    return frechet_of_shared(a, b, torch.linalg.eigvalsh(between(a, b)))


def between(a: Moments, b: Moments) -> Tensor:
    """L^T C_2 L, whose eigenvalues are those of C_1 C_2."""
    inner: Tensor = a.root.T @ b.cov.double() @ a.root
    return inner


def frechet_of_shared(a: Moments, b: Moments, eigenvalues: Tensor) -> float:
    """The squared distance, given the eigenvalues of ``between(a, b)``."""
    means = a.mean.double() - b.mean.double()
    shared = eigenvalues.clamp(min=0).sqrt().sum()
    spread = a.cov.double().trace() + b.cov.double().trace() - 2 * shared
    return max(float(means @ means + spread), 0.0)


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
    x, y = _kept(a), _kept(b)
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
        inner = (p @ q.T).double() / p.shape[1] + 1
        return inner * inner * inner

    def within(p: Tensor) -> Tensor:
        k = kernel(p, p)
        return (k.sum() - k.trace()) / (len(p) * (len(p) - 1))

    return within(x) + within(y) - 2 * kernel(x, y).mean()


def _kept(features: Tensor) -> Tensor:
    """Features (n, d) in float32 where they are, else in float64; `InputError` for others or fewer
    than 2.
    """
    if features.ndim != 2 or len(features) < 2:
        raise InputError(
            f"Features must be (n, d) with n of 2 or more, got {tuple(features.shape)}."
        )
    return features if features.dtype == torch.float32 else features.double()


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
