r"""A prior of clips whose extension and interpolation are known exactly: a Gaussian field that is
autoregressive in time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.oracle import MixtureDenoiser, gaussian_denoiser
from unfog.core.process import Process


def ar1_covariance(frames: int, side: int, correlation: float, length: float) -> Tensor:
    """The covariance of a stationary Gaussian clip (frames, side, side) of variance 1,

        x_(t+1) = rho x_t + sqrt(1 - rho^2) n_t,     Cov(n(p), n(q)) = exp(-|p - q|^2 / 2 l^2),

    which is rho^|s - t| times that of space.

    Args:
        frames: Of the clip.
        side: In pixels.
        correlation: rho, of neighbouring frames.
        length: l, in pixels.

    Returns:
        (d, d) with d = frames * side^2, float64.
    """
    t = torch.arange(frames, dtype=torch.float64)
    time = correlation ** (t[:, None] - t[None]).abs()
    line = torch.arange(side, dtype=torch.float64)
    place = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).flatten(0, 1)
    space = torch.exp(-torch.cdist(place, place).square() / (2 * length**2))
    return torch.kron(time, space)


def ar1_denoiser(
    process: Process, frames: int, side: int, correlation: float = 0.9, length: float = 1.5
) -> MixtureDenoiser:
    """The exact denoiser of that field, of clips (batch, 1, frames, side, side).

    Args:
        process: The forward process.
        frames: Of a clip.
        side: In pixels.
        correlation: Of neighbouring frames.
        length: Of the correlation in space, in pixels.

    Returns:
        The denoiser.
    """
    covariance = ar1_covariance(frames, side, correlation, length)
    return gaussian_denoiser(process, torch.zeros(len(covariance), dtype=torch.float64), covariance)


def conditional(covariance: Tensor, known: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The law of a Gaussian of mean 0 given some of its numbers.

    Args:
        covariance: (d, d).
        known: Which are given, bool (d,).
        values: Those, (samples, number of them).

    Returns:
        The mean of the others (samples, rest), and their covariance (rest, rest).
    """
    across = covariance[~known][:, known]
    gain = torch.linalg.solve(covariance[known][:, known], across.T).T
    return values @ gain.T, covariance[~known][:, ~known] - gain @ across.T
