"""Gaussian mixtures to test against: all in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.families import RectifiedFlow, SubVariancePreserving, VarianceExploding
from unfog.core.oracle import MixtureDenoiser, gaussian_denoiser
from unfog.core.process import EDM, Process, VPCosine, VPLinear, VPScaledLinear, ddpm_linear

PROCESSES: list[Process] = [
    VPLinear(), VPCosine(), VPScaledLinear(), ddpm_linear(), EDM(), VarianceExploding(), SubVariancePreserving(), RectifiedFlow(),
]  # fmt: skip
SMOOTH: list[Process] = [VPLinear(), SubVariancePreserving(), VarianceExploding(0.01, 10.0), EDM(10.0), RectifiedFlow()]


def spread(d: int, seed: int = 0) -> Tensor:
    """A covariance matrix (d, d) that is far from diagonal."""
    root = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.T / d + 0.1 * torch.eye(d, dtype=torch.float64)


def mixture(process: Process, d: int = 2, k: int = 4, seed: int = 0) -> MixtureDenoiser:
    """k narrow components in d dimensions."""
    g = torch.Generator().manual_seed(seed)
    means = 1.5 * torch.randn(k, d, generator=g, dtype=torch.float64)
    return MixtureDenoiser(process, torch.rand(k, generator=g, dtype=torch.float64) + 0.2, means, 0.05 * spread(d).expand(k, d, d))


def gaussian(process: Process, d: int = 16, seed: int = 0) -> tuple[MixtureDenoiser, Tensor, Tensor]:
    """A Gaussian's denoiser, its mean and covariance."""
    mean = torch.randn(d, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    return gaussian_denoiser(process, mean, spread(d, seed)), mean, spread(d, seed)
