r"""Exact likelihood by the probability-flow ODE, and bits per dimension (Song et al. 2021, section
4.3).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.core.codec import Codec
from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import sum_per_sample
from unfog.core.space import PLAIN, Space
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
    space: Space = PLAIN,
) -> Tensor:
    """The log-likelihood of data by the probability-flow ODE (Song et al. 2021, section 4.3),

        log p(x_0) = log N(u; 0, k^2) + the integral of the flow's divergence up to level k,

    with u = x / alpha at the noisiest level k.

    Args:
        denoiser: The model.
        x: (batch, channels, *space), on the model's scale.
        trace: How the divergence is calculated or estimated.
        cleanest: The noise level that x is taken to be at; small against the detail of the density.
        noisiest: The level at which the data are lost in the noise; the process's last unless
            given.
        tolerance: Of the ODE's solver.
        condition: For the denoiser.
        space: Where states live; the density is one of its free dimensions.

    Returns:
        In nats, (batch,).

    Raises:
        InputError: The levels are not 0 < cleanest < noisiest < infinity.
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
    u, gained = with_density(
        denoiser, x, levels, trace, tolerance=tolerance, condition=condition, space=space
    )
    d = space.dimensions(x.shape).to(x)
    # log N(u; 0, k^2).
    ended = -0.5 * sum_per_sample(u**2) / last**2 - d * (
        math.log(last) + 0.5 * math.log(2 * math.pi)
    )
    return ended + gained


def bits_per_dim(log_p: Tensor, dimensions: int, codec: Codec, quantum: float = 1.0) -> Tensor:
    """Bits per dimension of data in bins of width ``quantum``: with data made continuous by uniform
    noise within the bin (Theis et al. 2016), the density bounds the code length of the bin from
    above,

        bits / dim = -(log p(encode(x)) / d + log(encode's slope * quantum)) / log 2.

    Args:
        log_p: (batch,), in nats on the model's scale.
        dimensions: d, the numbers in a sample.
        codec: From natural units to the model's scale.
        quantum: In natural units; 1 / 255 where 255 is stored as 1.

    Returns:
        (batch,).
    """
    slope = codec.encode(torch.ones((), dtype=torch.float64)) - codec.encode(
        torch.zeros((), dtype=torch.float64)
    )
    return -(log_p / dimensions + math.log(float(slope) * quantum)) / math.log(2)


def dequantise(x: Tensor, quantum: float, randomness: Randomness) -> Tensor:
    """Data with uniform noise within their bins, each number moved to a random place in [x, x +
    quantum).

    Args:
        x: (batch, channels, *space), in natural units.
        quantum: The width of a bin.
        randomness: The generators of the noise.

    Returns:
        Shaped as ``x``.
    """
    share: Tensor = torch.special.ndtr(normal_like(x, randomness))
    return x + quantum * share
