r"""The kernel Stein discrepancy: how far draws are from a posterior whose score is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.evaluation.estimates import Estimate, mean_estimate
from unfog.physics.linear import Operator

WIDTH = 0.5  # of the kernel, in typical distances of two draws: narrow ones see a wrong width
ROUNDER, DENSE = 1e-2, 4096


def stein_kernel(x: Tensor, score: Tensor, scale: float) -> Tensor:
    """Stein's kernel of pairs (Liu et al. 2016; Chwialkowski et al. 2016) under the inverse
    multiquadric k = (c^2 + |x - y|^2)^(-1/2), which tells any law from the target (Gorham & Mackey
    2017),

        u = s_x.s_y k + s_x.grad_y k + s_y.grad_x k + tr grad_x grad_y k.

    Its mean over independent x and y is 0 where each is of the law that its score says, even if
    these two laws differ.

    Args:
        x: (..., n, d).
        score: grad log p at each, (..., n, d).
        scale: c.

    Returns:
        (..., n, n).
    """
    gram = x @ x.mT
    square = gram.diagonal(dim1=-2, dim2=-1)
    apart = (square[..., :, None] + square[..., None, :] - 2 * gram).clamp(min=0)
    root = (scale**2 + apart).rsqrt()
    # (s_x - s_y).(x - y), from inner products alone.
    mixed = score @ x.mT
    own = mixed.diagonal(dim1=-2, dim2=-1)
    slope = own[..., :, None] + own[..., None, :] - mixed - mixed.mT
    d = x.shape[-1]
    return (score @ score.mT) * root + slope * root**3 + d * root**3 - 3 * apart * root**5


@dataclass(frozen=True)
class Discrepancy:
    """A kernel Stein discrepancy, squared, as a share of u(x, x): 0 where draws are of the target,
    and 1 were all draws one.

    Args:
        draws: Of the draws.
        truths: Of the truths in their place, one of each posterior: the floor.
    """

    draws: Estimate
    truths: Estimate


def discrepancy(draws: Tensor, scores: Tensor, truths: Tensor, truth_scores: Tensor) -> Discrepancy:
    """The unbiased estimate over pairs of draws of one posterior, and its mean over posteriors, in
    coordinates in which their covariance is white (as preconditioned by Detommaso et al. 2018).

    Args:
        draws: (n, L, d), L draws of each of n posteriors, with L of 2 or more.
        scores: grad log p of each posterior at its draws, (n, L, d).
        truths: (n, d), one sample of each posterior.
        truth_scores: (n, d).

    Returns:
        The discrepancy; its interval is that of n independent posteriors.

    Raises:
        InputError: There are fewer than 2 posteriors or draws.
    """
    n, count, d = draws.shape
    if min(n, count) < 2:
        raise InputError(f"Stein's discrepancy needs 2 posteriors and 2 draws, got {n}, {count}.")
    # Coordinates in which the draws of a posterior are white: x = L z, and L* times the scores.
    root, scale = _root(draws.double()), WIDTH * (2 * d) ** 0.5
    middle = draws.double().flatten(0, 1).mean(0)
    x, y = (
        torch.linalg.solve_triangular(root, (v.double() - middle).mT, upper=False).mT
        for v in (draws, truths[None])
    )
    y = y[0]
    kernels = stein_kernel(x, scores.double() @ root, scale)
    own = kernels.diagonal(dim1=-2, dim2=-1)
    level = float(own.mean())
    each = (kernels.sum((1, 2)) - own.sum(1)) / (count * (count - 1) * level)
    # Truths stand in pairs of different posteriors; a jackknife over them gives the error.
    pairs = stein_kernel(y, truth_scores.double() @ root, scale) / level
    pairs = pairs - torch.diag(pairs.diagonal())
    total, rows = pairs.sum(), pairs.sum(1)
    without = (total - 2 * rows) / ((n - 1) * max(n - 2, 1))
    error = float(without.std(correction=0)) * (n - 1) ** 0.5
    return Discrepancy(mean_estimate(each), Estimate(float(total / (n * (n - 1))), error))


def _root(draws: Tensor) -> Tensor:
    """The lower root L of the covariance of draws (n, L, d) about the mean of their posterior, a
    little rounder than it is; of its diagonal where d is large.
    """
    centred = (draws - draws.mean(1, keepdim=True)).flatten(0, 1)
    variances = centred.square().mean(0)
    least = ROUNDER * variances.mean().clamp(min=1e-30)
    if draws.shape[2] > DENSE:
        return torch.diag((variances + least).sqrt())
    covariance = centred.T @ centred / len(centred)
    root: Tensor = torch.linalg.cholesky(covariance + least * torch.eye(len(covariance)).double())
    return root


Score = Callable[[Tensor, Tensor], Tensor]  # (x, numbers of measurements) -> grad log p(x | y)


def posterior_score(
    denoiser: Denoiser, operator: Operator, y: Tensor, sigma: float, level: float
) -> Score:
    r"""The score of the posterior whose prior is smoothed by noise of deviation k,

        grad log p(x | y) = (D(x) - x) / k^2 + A* (y - A x) / sigma^2,

    by Tweedie, D the prior's denoiser at the noise level k. Draws are compared with it after noise
    of deviation k is added to them; what is left is the likelihood's change over k, which is small
    for k well below sigma.

    Args:
        denoiser: The prior's.
        operator: A.
        y: Measurements, one of each posterior.
        sigma: Of their noise.
        level: k.

    Returns:
        The score of x (batch, channels, *space) given the measurements of these numbers.
    """
    t = denoiser.process.t_of_noise_level(torch.tensor(level, dtype=torch.float64))

    @torch.no_grad()
    def score(x: Tensor, rows: Tensor) -> Tensor:
        mean = denoiser(expand(denoiser.process.alpha(t), x) * x, t).mean
        a = operator.of(rows)
        total: Tensor = (mean - x) / level**2 + a.adjoint(y[rows] - a(x)) / sigma**2
        return total

    return score
