r"""Losses: how a network's output is held to an example, each sample by itself.

The denoising loss (Vincent 2011, Ho et al. 2020, Karras et al. 2022) is

    loss = w(t) mean |out(x_t, t) - target|^2,   target = the output that stands for x_0.

Weights are given on the error of x_0 or of the noise and carried over to the output's by x_0 = a
out + b x_t:

    |x_0 error|^2 = a^2 |out error|^2,      |noise error|^2 = SNR a^2 |out error|^2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.registry import Registry
from unfog.core.shapes import expand, mean_per_sample


@dataclass(frozen=True)
class Example:
    """A noised batch: ``x_0``, ``x_t``, ``target`` and ``noise`` (batch, channels, *space), ``t``
    (batch,) float64.
    """

    x_0: Tensor
    x_t: Tensor
    t: Tensor
    target: Tensor
    noise: Tensor


Losses = Tensor | Iterator[Tensor]  # (batch,), or those of each turn of a step
# (denoiser, example, its raw output) -> losses (batch,)
Loss = Callable[[NetworkDenoiser, Example, Tensor], Tensor]
# (log-SNR, a), float64, (batch,) or, by channel, (batch, 1) and (batch, channels) -> weight
Weight = Callable[[Tensor, Tensor], Tensor]
weights: Registry[Weight] = Registry("loss weight")


@weights.register("simple")
def simple() -> Weight:
    """Equal weights on the output's error (Ho et al. 2020)."""
    return lambda log_snr, a: torch.ones_like(a)


@weights.register("score-matching")
def score_matching() -> Weight:
    """sigma^2 on the error of the score, which is 1 on that of the noise, whatever is predicted
    (Song & Ermon 2019).
    """
    return lambda log_snr, a: a**2 * log_snr.exp()


@weights.register("min-snr")
def min_snr(gamma: float = 5.0) -> Weight:
    """min(SNR, gamma) on the error of x_0 (Hang et al. 2023)."""
    return lambda log_snr, a: a**2 * log_snr.exp().clamp(max=gamma)


@weights.register("p2")
def p2(gamma: float = 1.0, k: float = 1.0) -> Weight:
    """1 / (k + SNR)^gamma on the error of the noise (Choi et al. 2022)."""
    return lambda log_snr, a: a**2 * log_snr.exp() / (k + log_snr.exp()) ** gamma


@dataclass(frozen=True)
class Denoising:
    """Squared error of the network's own output; a learned variance is left alone."""

    weight: Weight = field(default_factory=simple)

    def __call__(self, denoiser: NetworkDenoiser, example: Example, out: Tensor) -> Tensor:
        prediction, _ = denoiser.halves(out)
        a, _ = denoiser.prediction.rule(*denoiser.scales(example.t))
        weight = self.weight(expand(denoiser.process.log_snr(example.t), a), a)
        error = (prediction.to(example.target.dtype) - example.target).square()
        if weight.ndim < 2:  # one weight a sample: after its mean, which costs nothing
            return mean_per_sample(error) * weight.to(error)
        return mean_per_sample(expand(weight, error) * error)
