r"""Exact likelihood by the probability-flow ODE, and bits per dimension (Song et al. 2021, section
4.3).

    log p(x_0) = log N(u; 0, k^2) at the noisiest level k + the integral of the flow's divergence up
    to it,    u = x / alpha.

On data in bins of width ``quantum`` in natural units, made continuous by uniform noise within the
bin (Theis et al. 2016), the density gives an upper bound of the code length of the bin,

    bits / dim = -(log p(encode(x)) / d + log(encode's slope * quantum)) / log 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.core.codec import Codec
from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import sum_per_sample
from unfog.errors import InputError
from unfog.sampling.flow import Trace, with_density
from unfog.sampling.loop import Condition


def log_likelihood(
    denoiser: Denoiser,
    x: Tensor,
    trace: Trace,
    *,
    cleanest: float = 1e-3,
    noisiest: float | None = None,
    tolerance: float = 1e-5,
    condition: Condition | None = None,
) -> Tensor:
    """log p of x (batch, channels, *space) on the model's scale, in nats, (batch,).

    ``x`` is taken as data at the noise level ``cleanest``, which must be small against the detail
    of the density; at ``noisiest``, by default the process's last level, the data must be lost in
    the noise.
    """
    last = (
        float(denoiser.process.noise_level(torch.ones((), dtype=torch.float64)))
        if noisiest is None
        else noisiest
    )
    if not 0 < cleanest < last < math.inf:
        raise InputError(
            f"A likelihood needs noise levels 0 < cleanest < noisiest < infinity, got {cleanest} "
            f"and {last}."
        )
    levels = torch.tensor([cleanest, last], dtype=torch.float64)
    u, gained = with_density(denoiser, x, levels, trace, tolerance=tolerance, condition=condition)
    d = x[0].numel()
    ended = -0.5 * sum_per_sample(u**2) / last**2 - d * (
        math.log(last) + 0.5 * math.log(2 * math.pi)
    )
    return ended + gained


def bits_per_dim(log_p: Tensor, dimensions: int, codec: Codec, quantum: float = 1.0) -> Tensor:
    """Nats on the model's scale (batch,) to bits per dimension of data in bins of ``quantum``; 1 /
    255 where 255 is stored as 1.
    """
    slope = codec.encode(torch.ones((), dtype=torch.float64)) - codec.encode(
        torch.zeros((), dtype=torch.float64)
    )
    return -(log_p / dimensions + math.log(float(slope) * quantum)) / math.log(2)


def dequantise(x: Tensor, quantum: float, randomness: Randomness) -> Tensor:
    """Data in natural units, each number moved to a uniform place in its bin [x, x + quantum)."""
    share: Tensor = torch.special.ndtr(normal_like(x, randomness))
    return x + quantum * share
