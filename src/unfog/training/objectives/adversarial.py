"""Adversarial distillation of a diffusion model into few steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import relu

from unfog.core.denoiser import Denoiser, NetworkDenoiser
from unfog.core.random import normal, seed_of
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.networks import Network
from unfog.networks.layers.heads import Heads
from unfog.sampling.consistency import Consistency
from unfog.sampling.grids import angle
from unfog.training.objectives.denoising import Drop, Drops, Named, given, objectives
from unfog.training.objectives.times import Stratified, Times
from unfog.training.objectives.times import times as time_distributions
from unfog.training.order import streams


class AdversarialObjective:
    """Latent-style adversarial distillation into N steps, with a discriminator on the teacher's
    features (Sauer et al. 2024, "LADD"; ADD: Sauer et al. 2023).

    The student makes G(z) of noise z in its N steps. Data and G(z) are noised to the same random
    time, the teacher's frozen network turns both into features, and small heads D discriminate them
    by the hinge loss (Lim & Ye 2017):

        heads:    mean relu(1 - D(alpha x_0 + sigma n)) + mean relu(1 + D(alpha G(z) + sigma n')),
        student:  - mean D(alpha G(z) + sigma n').

    The teacher's trajectories are not used, so the student can become better than the teacher. The
    heads take the first turn of a step, and the student's loss is by the updated heads: updating
    both at once makes them oscillate, until all samples are alike.

    Args:
        teacher: The trained model, frozen; its network is one of unfog's, which has ``features``.
        model: The student's N = ``model.segments`` steps.
        times: The distribution of the times at which features are compared.
        drop: How often each condition is hidden.

    Raises:
        InputError: The teacher's network has no features.
    """

    def __init__(
        self, teacher: NetworkDenoiser, model: Consistency, times: Times, drop: Drop
    ) -> None:
        network = teacher.network
        if not isinstance(network, Network):
            raise InputError(
                f"The teacher's network {type(network).__name__} has no features to judge by; "
                "distil it by consistency."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("heads"))
            self.head = Heads(network.feature_channels, network.dims)
        self.teacher, self.model, self.times, self.drop = teacher, model, times, drop

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Iterator[Tensor]:
        """The losses of each sample (batch,), one turn after the other: the heads', then the
        student's.

        Args:
            denoiser: The student.
            batch: The data ``"x"`` (batch, channels, *space) on the model's scale, and conditions.
            samples: The numbers of the batch's samples.
            seed: The seed of the run.
            step: The training step, from 1.

        Returns:
            An iterator of two losses (batch,); the second is to be asked for after the heads have
            been updated by the first.
        """
        x0, t = batch["x"], self.times(Stratified()(seed, step, samples), denoiser.process)
        condition: dict[str, Any] = {
            **given(denoiser, batch, samples, seed, step),
            "keep": self.drop.keep(samples, seed, step, x0.device),
        }

        def features(x: Tensor, name: str) -> list[Tensor]:
            noise = normal(x.shape, streams(name, seed, step, samples), like=x)
            alpha, sigma = denoiser.scales(t)
            return self._features(expand(alpha, x) * x + expand(sigma, x) * noise, t, **condition)

        # The student's samples, and the teacher's features of them and of the data.
        pictures = generate(
            denoiser,
            normal(x0.shape, streams("noise", seed, step, samples), like=x0),
            self.model,
            condition,
        )
        fake = features(pictures, "fake")
        with torch.no_grad():
            real = features(x0, "real")
        # The heads' hinge loss; no gradient reaches the student.
        yield (
            (relu(1 - self.head(real)) + relu(1 + self.head([x.detach() for x in fake])))
            .float()
            .mean(1)
        )
        # The student's loss by the heads as they are after their update, without their gradient.
        frozen = {name: p.detach() for name, p in self.head.named_parameters()}
        verdict: Tensor = functional_call(self.head, frozen, (fake,))
        yield -verdict.float().mean(1)

    def _features(
        self, x_t: Tensor, t: Tensor, keep: Mapping[str, Tensor], **condition: Any
    ) -> list[Tensor]:
        """The teacher's feature maps of a noisy batch."""
        teacher = self.teacher.to(x_t.device)
        return teacher.features(x_t, t, teacher.conditioner(x_t, condition, keep))


def generate(
    denoiser: Denoiser, noise: Tensor, model: Consistency, condition: Mapping[str, Any]
) -> Tensor:
    """The student's samples G(z), differentiable.

    Args:
        denoiser: The student.
        noise: Standard normal noise z (batch, channels, *space).
        model: The student's steps, one a segment.
        condition: Its conditions by name.

    Returns:
        Samples on the model's scale, shaped as ``noise``.
    """
    grid = angle(model.scale)(denoiser.process, model.segments)
    x = noise * denoiser.process.sigma(grid[0]).to(noise)
    for t, s in pairwise(grid):
        # The step ends at its segment's end, so it draws no noise.
        x, _ = model.step(denoiser, x, t, s, (), torch.Generator(), condition)
    return x


@objectives.register("adversarial-distillation")
def adversarial_distillation(
    teacher: NetworkDenoiser,
    segments: int = 2,
    scale: float = 0.5,
    times: Named | None = None,
    drop: Drops = None,
) -> AdversarialObjective:
    """The adversarial objective of a config.

    Args:
        teacher: The trained model that is distilled.
        segments: The student's steps.
        scale: The data's standard deviation in the grid ``angle`` of its steps.
        times: The distribution of the discriminator's times, a name or config; by default
            ln(sigma / alpha) ~ N(-1, 1.2^2).
        drop: The probability of hiding each condition, by name.

    Returns:
        The objective.
    """
    levels = time_distributions.build(times or {"name": "log-normal", "mean": -1.0, "std": 1.2})
    return AdversarialObjective(teacher, Consistency(segments, scale), levels, Drop(drop or {}))
