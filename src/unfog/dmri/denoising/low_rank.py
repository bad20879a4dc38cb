r"""Denoising by low rank: singular values of local patches and principal components of a scan.

A scan's volumes are far more alike than its noise, so few of its singular values rise above the
noise's. A matrix (m, n) of white noise sigma has singular values within sigma (sqrt n +- sqrt m),
spread by the Marchenko-Pastur law. With beta = m / n <= 1 and y a singular value over sigma sqrt n,
a signal shows where y > 1 + sqrt beta.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from unfog.progress import Report

# (singular values over sigma sqrt n, beta) -> what they become
Rule = Callable[[Tensor, float], Tensor]


def optimal_shrinkage(y: Tensor, beta: float) -> Tensor:
    """The shrinkage of singular values ``y`` with the least expected Frobenius error (Gavish &
    Donoho 2017):

        eta(y) = sqrt((y^2 - beta - 1)^2 - 4 beta) / y   for y > 1 + sqrt beta, else 0.
    """
    root = ((y**2 - beta - 1) ** 2 - 4 * beta).clamp(min=0).sqrt()
    return torch.where(y > 1 + math.sqrt(beta), root / y.clamp(min=1e-12), 0.0)


def hard_threshold(y: Tensor, beta: float) -> Tensor:
    """Singular values ``y`` above the best cut (Gavish & Donoho 2014) as they are, and 0 below:

    cut^2 = 2 (beta + 1) + 8 beta / (beta + 1 + sqrt(beta^2 + 14 beta + 1)).
    """
    cut = 2 * (beta + 1) + 8 * beta / (beta + 1 + math.sqrt(beta**2 + 14 * beta + 1))
    return torch.where(y > math.sqrt(cut), y, 0.0)


def denoise_matrices(x: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Matrices ``x`` (batch, m, n) with white noise of deviation 1, denoised by a ``rule`` for
    their singular values, and the expected error (batch,).

    The error is the mean square per entry that the best shrinkage leaves, sum (s^2 - eta^2) / m n,
    with the signal's singular values s estimated from those of x; signals too weak to show count as
    none.
    """
    m, n = x.shape[1:]
    small, large = min(m, n), max(m, n)
    # The Gram matrix of the short side: its eigenvectors are all that is needed.
    gram = x @ x.mT if m <= n else x.mT @ x
    values, vectors = torch.linalg.eigh(gram)
    y, beta = (values.clamp(min=0) / large).sqrt(), small / large
    # Project, with each singular direction scaled by rule(y) / y.
    factor = rule(y, beta) / y.clamp(min=1e-12)
    kept = vectors * factor[:, None]
    smooth = kept @ (vectors.mT @ x) if m <= n else (x @ kept) @ vectors.mT
    # The expected error of the best shrinkage.
    eta, signal = optimal_shrinkage(y, beta), _signal(y, beta)
    return smooth, (signal**2 - eta**2).sum(1) / small


def _signal(y: Tensor, beta: float) -> Tensor:
    """The signal's singular value s behind y, of y^2 = (s + 1 / s) (s + beta / s); 0 where none
    shows.
    """
    b = y**2 - beta - 1
    s2 = (b + (b**2 - 4 * beta).clamp(min=0).sqrt()) / 2
    return torch.where(y > 1 + math.sqrt(beta), s2.clamp(min=0).sqrt(), 0.0)


def marchenko_pastur(eigenvalues: Tensor, samples: float) -> tuple[Tensor, Tensor]:
    """How many eigenvalues of covariance matrices hold signal, and the variance of the noise:
    (batch,) and (batch,), estimated from the eigenvalues alone (the cut after Veraart et al. 2016).

    ``eigenvalues`` (batch, m) are ascending, of covariances of ``samples`` >= m rows. The largest
    set of smallest eigenvalues that could be noise alone is taken for noise: p of them could while
    their range is within the law's, 4 sigma^2 sqrt(p / samples).
    """
    m = eigenvalues.shape[1]
    count = torch.arange(1, m + 1, device=eigenvalues.device, dtype=eigenvalues.dtype)
    # sigma^2 if the smallest 1, 2, .. m eigenvalues are noise, and whether they can be.
    variance = eigenvalues.cumsum(1) / count
    fits = eigenvalues - eigenvalues[:, :1] <= 4 * (count / samples).sqrt() * variance
    noise = (fits * count).amax(1).long().clamp(min=1)
    return m - noise, variance.gather(1, noise[:, None] - 1)[:, 0]


class Components(NamedTuple):
    """The principal components of a scan that are above the noise, and the variance of what is
    left.

    ``mean`` (volumes,) of the rows, one a voxel; ``axes`` (volumes, r); ``eigenvalues`` (volumes,)
    of the covariance, all of them, ascending; ``residual`` (n,), the variance of each row off the
    axes, per direction.
    """

    mean: Tensor
    axes: Tensor
    eigenvalues: Tensor
    residual: Tensor

    def times(self, factors: Tensor) -> Components:
        """The same with each volume multiplied by its factor (volumes,): axes of what has noise of
        these deviations in them.
        """
        return self._replace(mean=self.mean * factors, axes=self.axes * factors[:, None])

    def scores(self, x: Tensor) -> Tensor:
        """Signals (..., volumes) to scores (..., r) along the axes."""
        return (x - self.mean) @ self.axes

    def whole(self, scores: Tensor) -> Tensor:
        """Scores (..., r) back to signals (..., volumes)."""
        return self.mean + scores @ self.axes.T


def global_pca(x: Tensor, independent: float = 1.0) -> Components:
    """The principal components of ``x`` (n, volumes) above the noise, at least one.

    Where neighbours share noise, only the share ``independent`` of the rows counts as samples of
    it.
    """
    samples = independent * len(x)
    return _principal(x, lambda values: int(marchenko_pastur(values[None], samples)[0]))


def above_noise(x: Tensor, clear: float) -> Components:
    """The principal components of ``x`` (n, volumes), whose noise has deviation 1, of eigenvalues
    ``clear`` times above the largest of noise alone; at least one.
    """
    edge = clear * (1 + math.sqrt(x.shape[1] / max(len(x), 1))) ** 2
    return _principal(x, lambda values: int((values > edge).sum()))


def _principal(x: Tensor, rank_of: Callable[[Tensor], int]) -> Components:
    """As many principal components of ``x`` (n, volumes) as ``rank_of`` says of the eigenvalues, at
    least one.
    """
    mean = x.mean(0)
    centred = x - mean
    values, vectors = torch.linalg.eigh((centred.T @ centred).double() / max(len(x) - 1, 1))
    rank = max(rank_of(values), 1)
    axes = vectors[:, len(values) - rank :].to(x.dtype)
    # |row|^2 less what lies along the axes.
    residual = centred.square().sum(1) - (centred @ axes).square().sum(1)
    return Components(mean, axes, values, residual.clamp(min=0) / max(x.shape[1] - rank, 1))


def local_svd(
    x: Tensor, inside: Tensor, rule: Rule, report: Report | None = None
) -> tuple[Tensor, Tensor]:
    """Denoise every patch of 3 x 3 x 3 voxels, less its mean, by its singular values, and average
    where patches overlap (after Manjon et al. 2013).

    Memory is bounded: one plane of patches at a time.

    Args:
        x: (X, Y, Z, r), with noise of deviation 1.
        inside: (X, Y, Z); the patches about these voxels are denoised.
        rule: What becomes of singular values.
        report: Called as ``report(done, total)``, counting planes.

    Returns:
        The mean over the patches that hold a voxel, (X, Y, Z, r), and the expected square error of
        one patch, (X, Y, Z): the mean over patches errs a little less. A voxel in no patch stays as
        it is, with error 1.
    """
    sides = patch_sides(x.shape[:3])
    # Sums over patches of the signal, the expected error and 1.
    sums = torch.zeros(*x.shape[:3], x.shape[3] + 2, dtype=x.dtype, device=x.device)
    # The middles of whole patches.
    middle = inside[
        tuple(
            slice(side // 2, size - side // 2)
            for side, size in zip(sides, x.shape[:3], strict=True)
        )
    ]
    for i, at in enumerate(middle):
        if at.any():
            sums[i : i + sides[0]] += _plane(x[i : i + sides[0]], at, sides, rule)
        if report is not None:
            report(i + 1, len(middle))
    # Means over patches.
    count = sums[..., -1:]
    mean = sums[..., :-1] / count.clamp(min=1)
    return torch.where(count > 0, mean[..., :-1], x), torch.where(
        count[..., 0] > 0, mean[..., -1], 1.0
    )


def patch_sides(shape: Sequence[int]) -> tuple[int, ...]:
    """The sides of a patch: 3 voxels along each axis of ``shape``, or 1 where the axis is
    shorter.
    """
    return tuple(3 if size >= 3 else 1 for size in shape)


def _plane(slab: Tensor, at: Tensor, sides: tuple[int, ...], rule: Rule) -> Tensor:
    """What the patches about one plane of voxels add to the sums of a slab (side, Y, Z, r + 2):
    those about the voxels marked ``at`` (Y, Z).
    """
    # (Y, Z, side, side, side, r)
    patches = slab.unfold(1, sides[1], 1).unfold(2, sides[2], 1).permute(1, 2, 0, 4, 5, 3)
    smooth, error = _denoise_patches(patches[at].flatten(1, 3), rule)
    # Each voxel of each patch: signal, expected error and 1.
    each = torch.cat(
        [smooth, error.expand(-1, smooth.shape[1], -1), torch.ones_like(smooth[..., :1])], 2
    )
    spread = torch.zeros(*at.shape, *sides, each.shape[2], dtype=slab.dtype, device=slab.device)
    spread[at] = each.view(-1, *sides, each.shape[2])
    # Add each patch to the voxels it covers.
    sums = torch.zeros(*slab.shape[:3], each.shape[2], dtype=slab.dtype, device=slab.device)
    for j in range(sides[1]):
        for k in range(sides[2]):
            sums[:, j : j + at.shape[0], k : k + at.shape[1]] += spread[:, :, :, j, k].permute(
                2, 0, 1, 3
            )
    return sums


def _denoise_patches(rows: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Patches (batch, voxels, r) with their means kept and the rest denoised, and the expected
    square error (batch, 1, 1).
    """
    mean = rows.mean(1, keepdim=True)
    smooth, error = denoise_matrices(rows - mean, rule)
    return mean + smooth, (error + 1 / rows.shape[1])[:, None, None]
