r"""The standard error of a Frechet distance, without a resampling of covariances."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.evaluation.distances import moments

RANK = 1e-10  # of the largest eigenvalue: those below it count as none


def frechet_error(a: Tensor, b: Tensor) -> float:
    """The standard error of ``frechet_distance(a, b)`` by the infinitesimal jackknife, which is the
    bootstrap's to first order (Efron 1982): the root of mean(I^2) / n of either set, with the
    influence of a sample x of the first

        I(x) = 2 (m_1 - m_2).z + z^T (1 - T) z - tr((1 - T) C_1),       z = x - m_1,

    where T = C_1^{-1/2} (C_1^{1/2} C_2 C_1^{1/2})^{1/2} C_1^{-1/2} takes the first Gaussian to the
    second. It is the error around the mean, and knows nothing of the bias of about 1 / n.

    Args:
        a: (n, d), features.
        b: (m, d), features.

    Returns:
        The standard error, in squared units of the features.
    """
    return float((_variance(a, b) + _variance(b, a)) ** 0.5)


def _variance(a: Tensor, b: Tensor) -> float:
    """The variance that the samples of ``a`` give the distance."""
    (mean, cov), (other, other_cov) = moments(a), moments(b)
    z = a.double() - mean
    change = torch.eye(len(mean), dtype=torch.float64) - _transport(cov, other_cov)
    influence = 2 * z @ (mean - other) + ((z @ change) * z).sum(1) - (change * cov).sum()
    return float(influence.square().mean() / len(a))


def _transport(cov: Tensor, other: Tensor) -> Tensor:
    """T for two covariances (d, d), on the subspace where the first is not singular."""
    values, vectors = torch.linalg.eigh(cov)
    there = values > RANK * values.max().clamp(min=1e-300)
    values, vectors = values[there], vectors[:, there]
    root, inverse = vectors * values.sqrt(), vectors / values.sqrt()
    inner, turned = torch.linalg.eigh(root.T @ other @ root)
    middle = (turned * inner.clamp(min=0).sqrt()) @ turned.T
    transport: Tensor = inverse @ middle @ inverse.T
    return transport
