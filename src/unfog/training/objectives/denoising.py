"""The training objective: noise the batch, call the network once, hold its output to the loss
(``training.objectives.losses``).

x_t = alpha x_0 + sigma n,      t drawn as ``training.objectives.times`` says,
n standard normal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unfog.core.bound import decoders
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.registry import Registry
from unfog.core.shapes import expand
from unfog.core.space import PLAIN, Space
from unfog.errors import InputError
from unfog.sampling.ancestral import Variance, small, variances
from unfog.training.objectives.losses import Denoising, Example, Loss, Losses, weights
from unfog.training.objectives.times import Floored, Stratified, Times, Uniform, Uniforms, uniforms
from unfog.training.objectives.times import times as time_distributions
from unfog.training.objectives.variational import Continuous, Hybrid, Variational
from unfog.training.objectives.weighting import LearnedWeight
from unfog.training.order import streams


@dataclass(frozen=True)
class Drop:
    """How often training hides each condition (Ho & Salimans 2022): a probability by name."""

    probabilities: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, probability in self.probabilities.items():
            if not 0 <= probability <= 1:
                raise InputError(
                    f"The drop of condition {name!r} is a probability between 0 and 1, got "
                    f"{probability}."
                )

    def keep(
        self, samples: Sequence[int], seed: int, step: int, device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        """(batch,) by name, False where a condition is hidden; drawn from (seed, step, sample)."""
        kept = {}
        for name, probability in self.probabilities.items():
            draws = [
                torch.rand((), generator=g, dtype=torch.float64)
                for g in streams(f"drop {name}", seed, step, samples)
            ]
            kept[name] = (torch.stack(draws) >= probability).to(device)
        return kept


def given(denoiser: NetworkDenoiser, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The conditions in a batch that the denoiser takes; ``InputError`` where one is lacking."""
    taken = denoiser.conditioner.parts
    values = {
        name: value
        for name, value in batch.items()
        if name in taken or name.removesuffix("_mask") in taken
    }
    lacking = [name for name in taken if name not in values]
    if lacking:
        raise InputError(
            f"The training data has no condition {lacking[0]!r}, which the model takes; take it "
            "out of 'conditions'."
        )
    return values


class Objective(Protocol):
    """What training minimises. A module called ``head``, if it has one, learns as well and is no
    part of the trained model.
    """

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Losses:
        """The loss of each sample (batch,), the same for a sample in any batch; where some learn
        against others, that of each turn.
        """
        ...


def noised(denoiser: NetworkDenoiser, x_0: Tensor, t: Tensor, noise: Tensor) -> Example:
    """A training example: x_t, and the output that stands for x_0.

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
    """Draws times and noise, calls the network once, and gives its output to the loss.

    Args:
        times: The distribution of training times.
        loss: Holds the network's output to the example.
        uniforms: Draws the uniform numbers that become times.
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
        """What the loss itself learns, if anything; it is trained with the network and left out of
        the trained model.
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
        """The loss of each sample (batch,); ``batch["x"]`` on the model's scale, conditions the
        model does not take are left out.
        """
        space = self.space.within(batch.get("mask"))
        example = self.example(denoiser, batch["x"], samples, seed, step, space)
        values = given(denoiser, batch)
        keep = self.drop.keep(samples, seed, step, example.x_t.device)
        context = denoiser.conditioner(example.x_t, values, keep)
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
            space: Where states live.

        Returns:
            The example.
        """
        t = self.times(self.uniforms(seed, step, samples), denoiser.process)
        noise = space.noise(x0.shape, streams("noise", seed, step, samples), like=x0)
        return noised(denoiser, space.project(x0), t, noise)


@dataclass(frozen=True)
class GivenNoise:
    """For data that bring their own noise, not Gaussian or not white: ``batch["noisy"]`` is x_t at
    the noise level ``batch["level"]`` (batch,), and the error of the output counts where
    ``batch["inside"]`` (batch, 1, *space) is 1.
    """

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Tensor:
        """The loss of each sample (batch,)."""
        if not {"noisy", "level", "inside"} <= batch.keys():
            raise InputError(
                "The objective 'given-noise' needs data that bring noise of their own, such as "
                "dmri-low-rank."
            )
        t = denoiser.process.t_of_noise_level(batch["level"].double())
        alpha, sigma = denoiser.scales(t)
        clean, inside = batch["x"].double(), batch["inside"]
        x_t = expand(alpha, clean) * batch["noisy"].double()
        target = denoiser.prediction.from_x0(clean, x_t, alpha, sigma).to(batch["x"])
        out = denoiser.output(
            x_t.to(batch["x"]), t, denoiser.conditioner(batch["x"], given(denoiser, batch), {})
        )
        squares = inside * (out.to(target) - target).square()
        return squares.flatten(1).sum(1) / (inside.flatten(1).sum(1) * clean.shape[1]).clamp(min=1)


objectives: Registry[Objective] = Registry("objective")
Named = str | Mapping[str, Any]
Drops = Mapping[str, float] | None


@objectives.register("denoising")
def denoising(
    times: Named = "uniform",
    weight: Named = "simple",
    draws: Named = "stratified",
    drop: Drops = None,
    space: Space = PLAIN,
) -> DenoisingObjective:
    """Weighted squared error of the network's output."""
    return DenoisingObjective(
        time_distributions.build(times),
        Denoising(weights.build(weight)),
        uniforms.build(draws),
        Drop(drop or {}),
        space,
    )


@objectives.register("given-noise")
def given_noise(drop: Drops = None) -> GivenNoise:
    """Squared error of the network's output where the data bring noisy states of their own."""
    if any((drop or {}).values()):
        raise InputError("The objective 'given-noise' hides no conditions; set their drop to 0.")
    return GivenNoise()


@objectives.register("learned-weight")
def learned_weight(
    times: Named = "uniform",
    weight: Named = "simple",
    draws: Named = "stratified",
    channels: int = 128,
    drop: Drops = None,
    space: Space = PLAIN,
) -> DenoisingObjective:
    """``denoising``, its weight corrected by a learned one (Karras et al. 2024)."""
    loss = LearnedWeight(Denoising(weights.build(weight)), channels)
    return DenoisingObjective(
        time_distributions.build(times), loss, uniforms.build(draws), Drop(drop or {}), space
    )


@objectives.register("variational")
def variational(
    steps: int = 1000,
    variance: str = "large",
    decoder: Named = "bins",
    draws: Named = "stratified",
    drop: Drops = None,
) -> DenoisingObjective:
    """The variational bound of a table of ``steps``, in bits per dimension."""
    loss = Variational(steps, _spread(variance), decoders.build(decoder))
    return DenoisingObjective(Uniform(steps), loss, uniforms.build(draws), Drop(drop or {}))


@objectives.register("variational-continuous")
def variational_continuous(
    start: float = 1e-3,
    variance: str = "large",
    decoder: Named = "bins",
    draws: Named = "stratified",
    drop: Drops = None,
) -> DenoisingObjective:
    """The variational bound in continuous time, in bits per dimension."""
    loss = Continuous(start, _spread(variance), decoders.build(decoder))
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
    """The simple loss for the mean and the bound for the learned variance (Nichol & Dhariwal
    2021).
    """
    bound = Variational(steps, variances.get("posterior"), decoders.build(decoder))
    return DenoisingObjective(
        Uniform(steps),
        Hybrid(Denoising(weights.build(weight)), bound, scale),
        uniforms.build(draws),
        Drop(drop or {}),
    )


def _spread(name: str) -> Variance:
    """A variance of the reverse step; the small one is zero in the last step, whose term is then
    infinite.
    """
    variance = variances.get(name)
    if variance is small:
        raise InputError(
            "The variational bound needs a variance above zero in every step: take 'large', or "
            "'posterior' where it is learned."
        )
    return variance
