"""The denoising loss, and its weights at each noise level.

Papers give the weight on the error of x_0 or of the noise. Here it is turned into the weight w on
the error of the network's output, by x_0 = a out + b x_t:

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
    """A noised batch: ``x_0``, ``x_t``, ``noise`` and the network's ``target`` (batch, channels,
    *space), and the times ``t`` (batch,) float64.
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
    """Weight 1 on the error of the network's output (L_simple; Ho et al. 2020): w = 1."""
    return lambda log_snr, a: torch.ones_like(a)


@weights.register("score-matching")
def score_matching() -> Weight:
    """Weight sigma^2 on the error of the score (Song & Ermon 2019), that is 1 on that of the noise,
    whatever the network predicts: w = SNR a^2.
    """
    return lambda log_snr, a: a**2 * log_snr.exp()


@weights.register("min-snr")
def min_snr(gamma: float = 5.0) -> Weight:
    """Weight min(SNR, gamma) on the error of x_0 (Hang et al. 2023): w = a^2 min(SNR, gamma)."""
    return lambda log_snr, a: a**2 * log_snr.exp().clamp(max=gamma)


@weights.register("p2")
def p2(gamma: float = 1.0, k: float = 1.0) -> Weight:
    """Weight 1 / (k + SNR)^gamma on the error of the noise (Choi et al. 2022): w = SNR a^2 / (k +
    SNR)^gamma.
    """
    return lambda log_snr, a: a**2 * log_snr.exp() / (k + log_snr.exp()) ** gamma


@dataclass(frozen=True)
class Denoising:
    """The denoising loss (Vincent 2011; Ho et al. 2020; Karras et al. 2022) of each sample.

        loss = w(t) mean |out(x_t, t) - target|^2,   target = the output that stands for x_0.

    The half of the output that is a learned variance is left out. ``weight`` gives w of the log-SNR
    and the a of the prediction's rule.
    """

    weight: Weight = field(default_factory=simple)

    def __call__(self, denoiser: NetworkDenoiser, example: Example, out: Tensor) -> Tensor:
        prediction, _ = denoiser.halves(out)
        a, _ = denoiser.prediction.rule(*denoiser.scales(example.t))
        weight = self.weight(expand(denoiser.process.log_snr(example.t), a), a)
        error = (prediction.to(example.target.dtype) - example.target).square()
        # One weight a sample multiplies the sample's mean, weights by channel their channels.
        if weight.ndim < 2:
            return mean_per_sample(error) * weight.to(error)
        return mean_per_sample(expand(weight, error) * error)
