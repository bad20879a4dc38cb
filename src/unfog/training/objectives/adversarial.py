r"""Adversarial distillation into N steps, judged in the teacher's own features (Sauer et al. 2024,
"LADD"; ADD: Sauer et al. 2023).

The student makes G(z) of noise z in its N steps. Real pictures and its own are noised anew, to the
same random time; the teacher's network, frozen, turns them into features, and small heads D are to
tell them apart (hinge loss: Lim & Ye 2017):

    heads:    mean relu(1 - D(alpha x_0 + sigma n)) + mean relu(1 + D(alpha G(z) + sigma n')),
    student:  - mean D(alpha G(z) + sigma n').

Nothing of the teacher's trajectories is needed, so the student may end better than the teacher. The
heads have the first turn of a step, and the student faces what they have just learned of its
pictures: when both learned at once they circled each other, and all pictures became one.
"""

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
from unfog.networks.layers.heads import Heads
from unfog.networks.unet import UNet
from unfog.sampling.consistency import Consistency
from unfog.sampling.grids import angle
from unfog.training.objectives.denoising import Drop, Drops, Named, given, objectives
from unfog.training.objectives.times import Stratified, Times
from unfog.training.objectives.times import times as time_distributions
from unfog.training.order import streams


class AdversarialObjective:
    """Trains a student of ``model.segments`` steps; its ``head`` is the discriminator, which learns
    with it and is then left behind.
    """

    def __init__(
        self, teacher: NetworkDenoiser, model: Consistency, times: Times, drop: Drop
    ) -> None:
        network = teacher.network
        if not isinstance(network, UNet):
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
        """The losses of each sample (batch,): the heads', then the student's."""
        x0, t = batch["x"], self.times(Stratified()(seed, step, samples), denoiser.process)
        condition: dict[str, Any] = {
            **given(denoiser, batch),
            "keep": self.drop.keep(samples, seed, step, x0.device),
        }

        def seen(x: Tensor, name: str) -> list[Tensor]:
            noise = normal(x.shape, streams(name, seed, step, samples), like=x)
            alpha, sigma = denoiser.scales(t)
            return self._features(expand(alpha, x) * x + expand(sigma, x) * noise, t, **condition)

        made = generate(
            denoiser,
            normal(x0.shape, streams("noise", seed, step, samples), like=x0),
            self.model,
            condition,
        )
        fake = seen(made, "fake")
        with torch.no_grad():
            real = seen(x0, "real")
        yield (
            (relu(1 - self.head(real)) + relu(1 + self.head([x.detach() for x in fake])))
            .float()
            .mean(1)
        )
        frozen = {name: p.detach() for name, p in self.head.named_parameters()}
        verdict: Tensor = functional_call(self.head, frozen, (fake,))
        yield -verdict.float().mean(1)

    def _features(
        self, x_t: Tensor, t: Tensor, keep: Mapping[str, Tensor], **condition: Any
    ) -> list[Tensor]:
        teacher = self.teacher.to(x_t.device)
        return teacher.features(x_t, t, teacher.conditioner(x_t, condition, keep))


def generate(
    denoiser: Denoiser, noise: Tensor, model: Consistency, condition: Mapping[str, Any]
) -> Tensor:
    """What the student makes of standard normal ``noise``, with its gradient."""
    grid = angle(model.scale)(denoiser.process, model.segments)
    x = noise * denoiser.process.sigma(grid[0]).to(noise)
    for t, s in pairwise(grid):
        x, _ = model.step(
            denoiser, x, t, s, (), torch.Generator(), condition
        )  # on a segment's end no noise is drawn
    return x


@objectives.register("adversarial-distillation")
def adversarial_distillation(
    teacher: NetworkDenoiser,
    segments: int = 2,
    scale: float = 0.5,
    times: Named | None = None,
    drop: Drops = None,
) -> AdversarialObjective:
    """A student of ``segments`` steps, judged at noise levels of these ``times``."""
    chosen = time_distributions.build(times or {"name": "log-normal", "mean": -1.0, "std": 1.2})
    return AdversarialObjective(teacher, Consistency(segments, scale), chosen, Drop(drop or {}))
