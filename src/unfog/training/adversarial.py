r"""Adversarial distillation into N steps, judged in the teacher's own features (Sauer et al. 2024, "LADD"; ADD: Sauer et al. 2023).

The student makes G(z) of noise z in its N steps. Real pictures and its own are noised anew, to the same random time; the teacher's network,
frozen, turns them into features, and small heads D are to tell them apart (hinge loss: Lim & Ye 2017):

    heads:    mean relu(1 - D(alpha x_0 + sigma n)) + mean relu(1 + D(alpha G(z) + sigma n')),
    student:  - mean D(alpha G(z) + sigma n').

Nothing of the teacher's trajectories is needed, so the student may end better than the teacher. Both losses descend in one backward pass:
the heads' sees the student's pictures without gradient, the student's the heads'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import relu

from unfog.core.denoiser import Denoiser, NetworkDenoiser
from unfog.core.process import Process
from unfog.core.random import normal, seed_of
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.networks.heads import Heads
from unfog.networks.unet import UNet
from unfog.sampling.consistency import Consistency
from unfog.sampling.grids import angle
from unfog.training.objectives import Drop, Drops, Named, given, objectives
from unfog.training.order import streams
from unfog.training.times import Stratified, Times
from unfog.training.times import times as time_distributions


class AdversarialObjective(nn.Module):
    """Trains a student of ``model.segments`` steps; its ``head`` is the discriminator, which learns with it and is then left behind."""

    def __init__(self, teacher: NetworkDenoiser, model: Consistency, times: Times, drop: Drop) -> None:
        super().__init__()
        network = teacher.network
        if not isinstance(network, UNet):
            raise InputError(f"The teacher's network {type(network).__name__} has no features to judge by; distil it by consistency.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("heads"))
            self.head = Heads(network.feature_channels, network.dims)
        self.teacher, self.model, self.times, self.drop = [teacher], model, times, drop  # in a list: it is no part of what learns

    def forward(self, denoiser: NetworkDenoiser, batch: Mapping[str, Tensor], samples: Sequence[int], seed: int, step: int) -> Tensor:
        """The student's loss and the heads' of each sample, (batch,)."""
        x0, process = batch["x"], denoiser.process
        condition, keep = given(denoiser, batch), self.drop.keep(samples, seed, step, x0.device)
        made = generate(denoiser, normal(x0.shape, streams("noise", seed, step, samples), like=x0), self.model, {**condition, "keep": keep})
        t = self.times(Stratified()(seed, step, samples), process)
        real, fake = (_noised(process, x, t, streams(name, seed, step, samples)) for name, x in (("real", x0), ("fake", made)))
        teacher = self.teacher[0].to(x0.device)
        seen = teacher.features(fake, t, teacher.conditioner(fake, condition, keep))
        with torch.no_grad():
            true = teacher.features(real, t, teacher.conditioner(real, condition, keep))
        heads = relu(1 - self.head(true)) + relu(1 + self.head([x.detach() for x in seen]))
        frozen = {name: p.detach() for name, p in self.head.named_parameters()}
        losses: Tensor = heads - functional_call(self.head, frozen, (seen,))
        return losses.float().mean(1)


def generate(denoiser: Denoiser, noise: Tensor, model: Consistency, condition: Mapping[str, Any]) -> Tensor:
    """What the student makes of standard normal ``noise``, with its gradient."""
    grid = angle(model.scale)(denoiser.process, model.segments)
    x = noise * denoiser.process.sigma(grid[0]).to(noise)
    for t, s in pairwise(grid):
        x, _ = model.step(denoiser, x, t, s, (), torch.Generator(), condition)  # on a segment's end no noise is drawn
    return x


def _noised(process: Process, x: Tensor, t: Tensor, randomness: list[torch.Generator]) -> Tensor:
    return expand(process.alpha(t), x) * x + expand(process.sigma(t), x) * normal(x.shape, randomness, like=x)


@objectives.register("adversarial-distillation")
def adversarial_distillation(
    teacher: NetworkDenoiser, segments: int = 2, scale: float = 0.5, times: Named | None = None, drop: Drops = None
) -> AdversarialObjective:
    """A student of ``segments`` steps, judged at noise levels of these ``times``."""
    chosen = time_distributions.build(times or {"name": "log-normal", "mean": -1.0, "std": 1.2})
    return AdversarialObjective(teacher, Consistency(segments, scale), chosen, Drop(drop or {}))
