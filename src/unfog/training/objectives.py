r"""The training objective: denoising score matching in the network's own output.

    x_t = alpha x_0 + sigma n,   loss = w(t) mean |out(x_t, t) - target|^2,   target = the output that stands for x_0.

The target is the noise for noise prediction, F for EDM's, and so on (``core.prediction``).
Vincent 2011, Ho et al. 2020, Karras et al. 2022.

Weights are given on the error of x_0 or of the noise and carried over to the output's by x_0 = a out + b x_t:

    |x_0 error|^2 = a^2 |out error|^2,      |noise error|^2 = SNR a^2 |out error|^2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.random import normal
from unfog.core.registry import Registry
from unfog.core.shapes import expand, mean_per_sample
from unfog.errors import InputError
from unfog.training.order import streams
from unfog.training.times import Stratified, Times, Uniforms, uniforms
from unfog.training.times import times as time_distributions

Weight = Callable[[Tensor, Tensor], Tensor]  # (log-SNR, a), each (batch,) float64 -> weight (batch,)
weights: Registry[Weight] = Registry("loss weight")


@weights.register("simple")
def simple() -> Weight:
    """Equal weights on the output's error (Ho et al. 2020)."""
    return lambda log_snr, a: torch.ones_like(a)


@weights.register("min-snr")
def min_snr(gamma: float = 5.0) -> Weight:
    """min(SNR, gamma) on the error of x_0 (Hang et al. 2023)."""
    return lambda log_snr, a: a**2 * log_snr.exp().clamp(max=gamma)


@weights.register("p2")
def p2(gamma: float = 1.0, k: float = 1.0) -> Weight:
    """1 / (k + SNR)^gamma on the error of the noise (Choi et al. 2022)."""
    return lambda log_snr, a: a**2 * log_snr.exp() / (k + log_snr.exp()) ** gamma


@dataclass(frozen=True)
class Example:
    """A noised batch: ``x_t`` and ``target`` (batch, channels, *space), ``t`` (batch,) float64, ``noise`` as it was drawn."""

    x_t: Tensor
    t: Tensor
    target: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Drop:
    """How often training hides each condition (Ho & Salimans 2022): a probability by name."""

    probabilities: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, probability in self.probabilities.items():
            if not 0 <= probability <= 1:
                raise InputError(f"The drop of condition {name!r} is a probability between 0 and 1, got {probability}.")

    def keep(self, samples: Sequence[int], seed: int, step: int, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """(batch,) by name, False where a condition is hidden; drawn from (seed, step, sample)."""
        kept = {}
        for name, probability in self.probabilities.items():
            draws = [torch.rand((), generator=g, dtype=torch.float64) for g in streams(f"drop {name}", seed, step, samples)]
            kept[name] = (torch.stack(draws) >= probability).to(device)
        return kept


def given(denoiser: NetworkDenoiser, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The conditions in a batch that the denoiser takes; ``InputError`` where one is lacking."""
    taken = denoiser.conditioner.parts
    values = {name: value for name, value in batch.items() if name in taken or name.removesuffix("_mask") in taken}
    lacking = [name for name in taken if name not in values]
    if lacking:
        raise InputError(f"The training data has no condition {lacking[0]!r}, which the model takes; take it out of 'conditions'.")
    return values


@dataclass(frozen=True)
class DenoisingObjective:
    """Draws times and noise, and holds the network's output to its target."""

    times: Times
    weight: Weight = field(default_factory=simple)
    uniforms: Uniforms = field(default_factory=Stratified)
    drop: Drop = field(default_factory=lambda: Drop({}))

    def __call__(self, denoiser: NetworkDenoiser, batch: Mapping[str, Tensor], samples: Sequence[int], seed: int, step: int) -> Tensor:
        """The loss of each sample (batch,); ``batch["x"]`` on the model's scale, conditions the model does not take are left out."""
        example = self.example(denoiser, batch["x"], samples, seed, step)
        values, keep = given(denoiser, batch), self.drop.keep(samples, seed, step, example.x_t.device)
        out = denoiser.output(example.x_t, example.t, denoiser.conditioner(example.x_t, values, keep))
        a, _ = denoiser.prediction.rule(*denoiser.scales(example.t))
        weight = self.weight(denoiser.process.log_snr(example.t), a)
        error = mean_per_sample((out.to(example.target.dtype) - example.target).square())
        return expand(weight, error) * error

    def example(self, denoiser: NetworkDenoiser, x0: Tensor, samples: Sequence[int], seed: int, step: int) -> Example:
        """Noise the batch; drawn from (seed, step, sample) and so the same in any batch."""
        t = self.times(self.uniforms(seed, step, samples), denoiser.process)
        alpha, sigma = denoiser.scales(t)
        noise = normal(x0.shape, streams("noise", seed, step, samples), like=x0)
        # In float64: at small sigma the target is a difference of nearly equal numbers.
        clean = x0.double()
        x_t = expand(alpha, clean) * clean + expand(sigma, clean) * noise.double()
        target = denoiser.prediction.from_x0(clean, x_t, alpha, sigma)
        return Example(x_t.to(x0.dtype), t, target.to(x0.dtype), noise)


Objective = Callable[[NetworkDenoiser, Mapping[str, Tensor], Sequence[int], int, int], Tensor]  # see DenoisingObjective.__call__
objectives: Registry[Objective] = Registry("objective")
Named = str | Mapping[str, Any]


@objectives.register("denoising")
def denoising(
    times: Named = "uniform", weight: Named = "simple", draws: Named = "stratified", drop: Mapping[str, float] | None = None
) -> DenoisingObjective:
    """The objective of registry configurations."""
    return DenoisingObjective(time_distributions.build(times), weights.build(weight), uniforms.build(draws), Drop(drop or {}))
