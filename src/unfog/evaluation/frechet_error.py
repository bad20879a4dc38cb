r"""The standard error of a Frechet distance, without a resampling of covariances."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.evaluation.distances import RANK, Moments, between, frechet_of_shared, moments
from unfog.evaluation.estimates import Estimate


def frechet_error(a: Tensor, b: Tensor) -> float:
    """The standard error of ``frechet_distance(a, b)``, of features (n, d) and (m, d), by
    ``frechet_estimate``.
    """
    return frechet_estimate(a, b, Moments(*moments(b))).error


def frechet_estimate(a: Tensor, b: Tensor, fitted: Moments) -> Estimate:
    """The Frechet distance with its standard error by the infinitesimal jackknife, which is the
    bootstrap's to first order (Efron 1982): the root of mean(I^2) / n of either set, with the
    influence of a sample x of the first

        I(x) = 2 (m_1 - m_2).z + z^T (1 - T) z - tr((1 - T) C_1),       z = x - m_1,

    where T takes the first Gaussian to the second. With C_2 = L L^T and L^T C_1 L = U E U^T the
    maps are

        T = L U E^{-1/2} U^T L^T,       and back,       L^{-T} U E^{1/2} U^T L^{-1},

    so that one decomposition gives the distance and both. It is the error around the mean, and
    knows nothing of the bias of about 1 / n.

    Args:
        a: (n, d), features.
        b: (m, d), features.
        fitted: Of ``b``.

    Returns:
        The estimate, in squared units of the features.
    """
    own = Moments(*moments(a))
    values, vectors = torch.linalg.eigh(between(fitted, own))
    values = values.clamp(min=0)
    there = values > RANK * values[-1].clamp(min=1e-300)
    forth = (fitted.root @ vectors[:, there]) * values[there] ** -0.25
    back = (_inverse(fitted.root) @ vectors) * values**0.25
    variance = _variance(a, own, fitted, forth) + _variance(b, fitted, own, back)
    return Estimate(frechet_of_shared(fitted, own, values), float(variance**0.5), 0.0)


def _inverse(root: Tensor) -> Tensor:
    """The transposed (pseudo-)inverse of a root L, (d, rank)."""
    if root.shape[0] == root.shape[1]:
        eye = torch.eye(len(root), dtype=root.dtype)
        inverse: Tensor = torch.linalg.solve_triangular(root, eye, upper=False)
        return inverse.T
    return root / root.square().sum(0)  # its columns are orthogonal


def _variance(x: Tensor, own: Moments, other: Moments, factor: Tensor) -> float:
    """The variance that the samples x give the distance; the map is factor factor^T."""
    z = x.double() - own.mean
    # z^T (1 - T) z and the trace of (1 - T) C, by the factor alone.
    inside = z.square().sum(1) - (z @ factor).square().sum(1)
    trace = own.cov.trace() - ((own.cov @ factor) * factor).sum()
    influence = 2 * z @ (own.mean - other.mean) + inside - trace
    return float(influence.square().mean() / len(x))
