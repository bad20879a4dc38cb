"""Gaussian mixtures to test against: all in float64."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import MixtureDenoiser, gaussian_denoiser
from unfog.core.process import (
    EDM,
    Process,
    RectifiedFlow,
    SubVariancePreserving,
    VarianceExploding,
    VPCosine,
    VPLinear,
    VPScaledLinear,
    ddpm_linear,
)
from unfog.sampling.grids import angle
from unfog.training.objectives.consistency import through

PROCESSES: list[Process] = [
    VPLinear(),
    VPCosine(),
    VPScaledLinear(),
    ddpm_linear(),
    EDM(),
    VarianceExploding(),
    SubVariancePreserving(),
    RectifiedFlow(),
]
SMOOTH: list[Process] = [
    VPLinear(),
    SubVariancePreserving(),
    VarianceExploding(0.01, 10.0),
    EDM(10.0),
    RectifiedFlow(),
]


def spread(d: int, seed: int = 0) -> Tensor:
    """A covariance matrix (d, d) that is far from diagonal."""
    root = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.T / d + 0.1 * torch.eye(d, dtype=torch.float64)


def mixture(process: Process, d: int = 2, k: int = 4, seed: int = 0) -> MixtureDenoiser:
    """k narrow components in d dimensions."""
    g = torch.Generator().manual_seed(seed)
    means = 1.5 * torch.randn(k, d, generator=g, dtype=torch.float64)
    return MixtureDenoiser(
        process,
        torch.rand(k, generator=g, dtype=torch.float64) + 0.2,
        means,
        0.05 * spread(d).expand(k, d, d),
    )


def gaussian(
    process: Process, d: int = 16, seed: int = 0
) -> tuple[MixtureDenoiser, Tensor, Tensor]:
    """A Gaussian's denoiser, its mean and covariance."""
    mean = torch.randn(d, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    return gaussian_denoiser(process, mean, spread(d, seed)), mean, spread(d, seed)


def flow_map(oracle: MixtureDenoiser, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """x_t to x_s along the probability flow of a single Gaussian, exactly: t and s scalar or
    (batch,).

    In the eigenbasis of C each coordinate keeps its number of standard deviations: (x - alpha m) /
    sqrt(alpha^2 c + sigma^2).
    """
    (at, st), (as_, ss) = ([v.reshape(-1, 1) for v in oracle.scales(time)] for time in (t, s))
    c, u, m = oracle.eigenvalues[0], oracle.eigenvectors[0], oracle.means[0]
    ratio = ((as_**2 * c + ss**2) / (at**2 * c + st**2)).sqrt()
    return as_ * m + (ratio * ((x_t - at * m) @ u)) @ u.T


class ExactJump(Denoiser):
    """The exact consistency function of a Gaussian in segments, as a denoiser: its line through x_t
    meets the segment's end.
    """

    def __init__(self, oracle: MixtureDenoiser, segments: int, scale: float = 0.5) -> None:
        super().__init__()
        self.oracle, self.process = oracle, oracle.process
        self.ends = angle(scale)(self.process, segments)

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        t = t.double().expand(len(x_t))
        end = torch.where(self.ends < t[:, None] - 1e-9, self.ends, -1.0).max(1).values
        return Posterior(through(self.process, x_t, flow_map(self.oracle, x_t, t, end), t, end))


def energy_distance(x, y):
    """2 E|x - y| - E|x - x'| - E|y - y'| (Szekely & Rizzo 2013), with itself among the pairs."""
    return float(2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean())
