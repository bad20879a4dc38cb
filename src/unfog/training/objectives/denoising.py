"""Objectives that noise the batch, call the network once, and hold its output to a loss
(``training.objectives.losses``): denoising, and the variational bounds by their terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from unfog.core.bound import decoders
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.shapes import expand
from unfog.core.space import PLAIN, Space
from unfog.errors import InputError
from unfog.sampling.ancestral import Variance, small, variances
from unfog.training.objectives.given_noise import GivenNoise, given_noise
from unfog.training.objectives.losses import Denoising, Example, Loss, weights
from unfog.training.objectives.objective import Drop, Drops, Named, Objective, given, objectives
from unfog.training.objectives.times import Floored, Stratified, Times, Uniform, Uniforms, uniforms
from unfog.training.objectives.times import times as time_distributions
from unfog.training.objectives.variational import Continuous, Hybrid, Variational
from unfog.training.objectives.weighting import LearnedWeight
from unfog.training.order import streams

__all__ = [
    "DenoisingObjective",
    "Drop",
    "Drops",
    "GivenNoise",
    "Named",
    "Objective",
    "denoising",
    "given",
    "given_noise",
    "hybrid",
    "learned_weight",
    "noised",
    "objectives",
    "variational",
    "variational_continuous",
]


def noised(denoiser: NetworkDenoiser, x_0: Tensor, t: Tensor, noise: Tensor) -> Example:
    """A training example: x_t = alpha x_0 + sigma noise, and the target, which is the output of the
    network that stands for x_0.

    Args:
        denoiser: Its process makes x_t = alpha x_0 + sigma noise; its prediction names the target.
        x_0: Clean data on the model's scale, (batch, channels, *space).
        t: Times (batch,), float64.
        noise: Standard normal, shaped as ``x_0``.

    Returns:
        The example, in the type of ``x_0``.
    """
    alpha, sigma = denoiser.scales(t)
    # In float64: at small sigma the target is a difference of nearly equal numbers.
    clean = x_0.double()
    x_t = expand(alpha, clean) * clean + expand(sigma, clean) * noise.double()
    target = denoiser.prediction.from_x0(clean, x_t, alpha, sigma)
    return Example(x_0, x_t.to(x_0.dtype), t, target.to(x_0.dtype), noise)


@dataclass(frozen=True)
class DenoisingObjective:
    """A loss of the network's output on noised data, for random times and noise (Ho et al. 2020).

        x_t = alpha(t) x_0 + sigma(t) n,   t ~ ``times``,   n ~ N(0, I),
        loss(denoiser, (x_0, x_t, t, target, n), out),   out = the network's output for (x_t, t).

    Args:
        times: The distribution of training times.
        loss: Gives the loss of each sample from denoiser, example and raw output.
        uniforms: Draws the uniform numbers that ``times`` turns into times.
        drop: How often each condition is hidden.
        space: Where states live; a batch's ``"mask"`` says which of its entries are there.
    """

    times: Times
    loss: Loss = field(default_factory=Denoising)
    uniforms: Uniforms = field(default_factory=Stratified)
    drop: Drop = field(default_factory=lambda: Drop({}))
    space: Space = PLAIN

    @property
    def head(self) -> nn.Module | None:
        """The loss where it is a module with weights of its own, else None; it is trained with the
        network and left out of the trained model.
        """
        return self.loss if isinstance(self.loss, nn.Module) else None

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Tensor:
        """The loss of each sample (batch,); conditions that the model does not take are left
        out.
        """
        space = self.space.within(batch.get("mask"))
        example = self.example(denoiser, batch["x"], samples, seed, step, space)
        # The conditions, some of them hidden for classifier-free guidance.
        values = given(denoiser, batch, samples, seed, step)
        keep = self.drop.keep(samples, seed, step, example.x_t.device)
        context = denoiser.conditioner(example.x_t, values, keep)
        # The network's output, projected onto the space that states live in.
        out = space.project(denoiser.output(example.x_t, example.t, context))
        return self.loss(denoiser, example, out)

    def example(
        self,
        denoiser: NetworkDenoiser,
        x0: Tensor,
        samples: Sequence[int],
        seed: int,
        step: int,
        space: Space = PLAIN,
    ) -> Example:
        """Noise the batch; drawn from (seed, step, sample) and so the same in any batch.

        Args:
            denoiser: Its process and prediction.
            x0: Clean data on the model's scale, (batch, channels, *space).
            samples: The numbers of its samples in the data set.
            seed: The training seed.
            step: The training step.
            space: Where states live; data and noise are projected onto it.

        Returns:
            The noised batch with its targets.
        """
        t = self.times(self.uniforms(seed, step, samples), denoiser.process)
        noise = space.noise(x0.shape, streams("noise", seed, step, samples), like=x0)
        return noised(denoiser, space.project(x0), t, noise)


def denoising(
    times: Named = "uniform",
    weight: Named = "simple",
    draws: Named = "stratified",
    drop: Drops = None,
    space: Space = PLAIN,
) -> DenoisingObjective:
    """Weighted squared error of the network's output (Ho et al. 2020; Karras et al. 2022).

    Args:
        times: The distribution of training times, by name.
        weight: The weight of each noise level in the loss, by name.
        draws: How a batch's uniform numbers are drawn, by name.
        drop: The probability of hiding each condition, by name.
        space: Where states live.

    Returns:
        The objective.
    """
    distribution = time_distributions.build(times)
    loss = Denoising(weights.build(weight))
    return DenoisingObjective(distribution, loss, uniforms.build(draws), Drop(drop or {}), space)


objectives.register("denoising")(denoising)


@objectives.register("learned-weight")
def learned_weight(
    times: Named = "uniform",
    weight: Named = "simple",
    draws: Named = "stratified",
    channels: int = 128,
    drop: Drops = None,
    space: Space = PLAIN,
) -> DenoisingObjective:
    """``denoising``, its weight corrected by a learned one (Karras et al. 2024).

    Args:
        times: The distribution of training times, by name.
        weight: The weight that the learned one corrects, by name.
        draws: How a batch's uniform numbers are drawn, by name.
        channels: Fourier features of the noise level that the learned weight is linear in.
        drop: The probability of hiding each condition, by name.
        space: Where states live.

    Returns:
        The objective; its ``head`` is the learned weight.
    """
    loss = LearnedWeight(Denoising(weights.build(weight)), channels)
    distribution = time_distributions.build(times)
    return DenoisingObjective(distribution, loss, uniforms.build(draws), Drop(drop or {}), space)


@objectives.register("variational")
def variational(
    steps: int = 1000,
    variance: str = "large",
    decoder: Named = "bins",
    draws: Named = "stratified",
    drop: Drops = None,
) -> DenoisingObjective:
    """The variational bound of a discrete process, in bits per dimension (Ho et al. 2020, eq. 5).

    Args:
        steps: Steps of the process's table.
        variance: The variance of the reverse steps, by name.
        decoder: log p(x_0 | x_1) of the last step, by name.
        draws: How a batch's uniform numbers are drawn, by name.
        drop: The probability of hiding each condition, by name.

    Returns:
        The objective.
    """
    loss = Variational(steps, _positive_variance(variance), decoders.build(decoder))
    return DenoisingObjective(Uniform(steps), loss, uniforms.build(draws), Drop(drop or {}))


@objectives.register("variational-continuous")
def variational_continuous(
    start: float = 1e-3,
    variance: str = "large",
    decoder: Named = "bins",
    draws: Named = "stratified",
    drop: Drops = None,
) -> DenoisingObjective:
    """The variational bound in continuous time, in bits per dimension (Kingma et al. 2021).

    Args:
        start: The time from which the last step goes to clean data, between 0 and 1.
        variance: The variance of that step, by name.
        decoder: log p(x_0 | x_start) of that step, by name.
        draws: How a batch's uniform numbers are drawn, by name.
        drop: The probability of hiding each condition, by name.

    Returns:
        The objective.
    """
    loss = Continuous(start, _positive_variance(variance), decoders.build(decoder))
    return DenoisingObjective(Floored(start), loss, uniforms.build(draws), Drop(drop or {}))


@objectives.register("hybrid")
def hybrid(
    steps: int = 1000,
    scale: float = 0.001,
    weight: Named = "simple",
    decoder: Named = "bins",
    draws: Named = "stratified",
    drop: Drops = None,
) -> DenoisingObjective:
    """The simple loss for the mean and the bound for the learned variance (Nichol & Dhariwal 2021,
    eq. 16).

    Args:
        steps: Steps of the process's table.
        scale: The bound's share of the loss.
        weight: The weight of each noise level in the simple loss, by name.
        decoder: log p(x_0 | x_1) of the last step, by name.
        draws: How a batch's uniform numbers are drawn, by name.
        drop: The probability of hiding each condition, by name.

    Returns:
        The objective.
    """
    bound = Variational(steps, variances.get("posterior"), decoders.build(decoder))
    loss = Hybrid(Denoising(weights.build(weight)), bound, scale)
    return DenoisingObjective(Uniform(steps), loss, uniforms.build(draws), Drop(drop or {}))


def _positive_variance(name: str) -> Variance:
    """A variance of the reverse step by name; the small one is refused, since it is zero in the
    last step, whose term is then infinite.
    """
    variance = variances.get(name)
    if variance is small:
        raise InputError(
            "The variational bound needs a variance above zero in every step: take 'large', or "
            "'posterior' where it is learned."
        )
    return variance
