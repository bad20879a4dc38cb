"""Consistency models in segments of time: distillation of a teacher (Song et al. 2023; Heek et al.
2024) and training from data alone (Song & Dhariwal 2024; Geng et al. 2025).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, NetworkDenoiser
from unfog.core.process import Process
from unfog.core.random import normal
from unfog.core.shapes import expand, mean_per_sample
from unfog.errors import InputError
from unfog.sampling.consistency import Consistency
from unfog.sampling.grids import angle
from unfog.sampling.ode import straight
from unfog.training.objectives.denoising import Drop, given, objectives
from unfog.training.objectives.descents import (
    DataLine,
    Descent,
    TeacherFlow,
    TeacherFlowFromData,
    descents,
)
from unfog.training.objectives.times import Stratified
from unfog.training.order import streams

__all__ = [
    "ConsistencyObjective",
    "DataLine",
    "Descent",
    "Knots",
    "TeacherFlow",
    "TeacherFlowFromData",
    "consistency_distillation",
    "consistency_training",
    "descents",
    "through",
]


@dataclass(frozen=True)
class Knots:
    """The number of knots a segment at a training step: ``first``, doubled every ``every`` steps up
    to ``last`` (Song & Dhariwal 2024).
    """

    first: int
    last: int
    every: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last or self.every < 1:
            raise InputError(
                f"Knots need 1 <= first <= last and every >= 1, got {self.first}, {self.last} "
                f"and {self.every}."
            )

    def __call__(self, step: int) -> int:
        return min(self.first << min((step - 1) // self.every, 40), self.last)


@dataclass(frozen=True)
class ConsistencyObjective:
    r"""The consistency loss (Song et al. 2023), on segments of time (Heek et al. 2024).

    The times from 1 to 0 are cut into segments, each into knots. From a knot x_t the ``descent``
    goes ``reach`` knots down, to x_s, and from there the model itself, its gradient stopped, jumps
    to the end e of the segment. The model is trained to jump there from x_t at once:

        loss = sqrt(mean |f(x_t, t) - y|^2 + c^2) - c        (pseudo-Huber; Song & Dhariwal 2024),
        y: the x_0 whose straight line through x_t meets x_e (the inverse of DDIM's step).

    Where s = e nothing is left to jump: there the target does not depend on the model. With
    ``reach`` = knots this holds everywhere, and the loss is a regression onto the end of the
    teacher's own trajectory: more calls a step, and no moving target.

    Args:
        descent: The way from x_t to x_s: the teacher's flow (distillation) or the line to the
            data (training).
        knots: The number of knots a segment, by the training step.
        model: The segments.
        reach: The knots that ``descent`` goes down.
        huber: c, on the scale of the model's values.
        drop: How often each condition is hidden.
    """

    descent: Descent
    knots: Knots
    model: Consistency = field(default_factory=Consistency)
    reach: int = 1
    huber: float = 0.01
    drop: Drop = field(default_factory=lambda: Drop({}))

    def __post_init__(self) -> None:
        if self.reach < 1:
            raise InputError(f"Consistency needs a reach of at least 1 knot, got {self.reach}.")
        if not self.huber > 0:
            raise InputError(f"Consistency needs huber > 0, got {self.huber}.")

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            denoiser: The model in training.
            batch: The data ``"x"`` (batch, channels, *space) on the model's scale, and conditions.
            samples: The numbers of the batch's samples.
            seed: The seed of the run.
            step: The training step, from 1.

        Returns:
            The loss of each sample, (batch,).
        """
        x0, process, knots = batch["x"], denoiser.process, self.knots(step)
        condition = {
            **given(denoiser, batch, samples, seed, step),
            "keep": self.drop.keep(samples, seed, step, x0.device),
        }
        # The grid from t = 0 up; every other time is a knot, those between serve the midpoint
        # method.
        halves = angle(self.model.scale)(process, 2 * self.model.segments * knots).flip(0)
        # A knot above 0 for each sample, drawn uniformly, and the end of its segment.
        place = 1 + (Stratified()(seed, step, samples) * self.model.segments * knots).long()
        end = (place - 1) // knots * knots
        t, noise = (
            halves[2 * place],
            normal(x0.shape, streams("noise", seed, step, samples), like=x0),
        )
        # Noise the batch.
        alpha, sigma = denoiser.scales(t)
        x_t = expand(alpha, x0) * x0 + expand(sigma, x0) * noise
        # The target: the x_0 whose line from x_t meets the landing.
        with torch.no_grad():
            landing = self._land(denoiser, x0, x_t, place, end, halves, condition)
            target = through(process, x_t, landing, t, halves[2 * end])
        error = mean_per_sample((denoiser(x_t, t, **condition).mean - target).square())
        return (error + self.huber**2).sqrt() - self.huber

    def _land(
        self,
        denoiser: NetworkDenoiser,
        x0: Tensor,
        x_t: Tensor,
        place: Tensor,
        end: Tensor,
        halves: Tensor,
        condition: dict[str, Any],
    ) -> Tensor:
        """x_e at the end of each sample's segment: ``reach`` knots down, then the model's jump for
        the samples that are not there yet.

        ``place`` and ``end`` (batch,) are knots, counted from t = 0; ``halves`` are all times, two
        a knot.
        """
        x = x_t.clone()
        for k in range(self.reach + 1):
            # Samples still above the end of their segment, and their place on the grid.
            (at,) = torch.where(place - k > end)
            if not len(at):
                break
            subset, here = partial(_subset, at), 2 * (place[at] - k)
            if k < self.reach:
                # One knot down.
                x[at] = self.descent(
                    x0[at],
                    x[at],
                    halves[here],
                    halves[here - 1],
                    halves[here - 2],
                    subset(condition),
                )
            else:
                # The model's own jump to the end.
                t = halves[here]
                x[at] = straight(
                    denoiser.process,
                    x[at],
                    denoiser(x[at], t, **subset(condition)).mean,
                    t,
                    halves[2 * end[at]],
                )
        return x


def _subset(at: Tensor, condition: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions of the samples ``at``."""
    return {
        name: _subset(at, value) if isinstance(value, Mapping) else value[at]
        for name, value in condition.items()
    }


def through(process: Process, x_t: Tensor, x_s: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The x_0 on the straight line from x_t through x_s: the inverse of DDIM's step ``straight``.

        x_s = alpha_s x_0 + (sigma_s / sigma_t) (x_t - alpha_t x_0),   solved for x_0.

    Args:
        process: The forward process.
        x_t: The batch at t (batch, channels, *space).
        x_s: The batch at s, of the same shape.
        t: The noisier times, float64 (batch,).
        s: The times s < t.

    Returns:
        x_0, shaped as ``x_t``.
    """
    ratio = process.sigma(s) / process.sigma(t)
    gain = process.alpha(s) - ratio * process.alpha(t)
    return expand(1 / gain, x_s) * x_s - expand(ratio / gain, x_t) * x_t


@objectives.register("consistency-distillation")
def consistency_distillation(
    teacher: Denoiser,
    segments: int = 2,
    knots: int = 4,
    reach: int = 4,
    scale: float = 0.5,
    huber: float = 0.01,
    descent: str = "flow",
    drop: Mapping[str, float] | None = None,
) -> ConsistencyObjective:
    """Consistency distillation of a teacher (Song et al. 2023; in segments: Heek et al. 2024).

    Args:
        teacher: The trained model that is distilled.
        segments: The segments, each a step of the student.
        knots: The knots a segment.
        reach: The knots that the teacher goes down; ``knots`` for all the way.
        scale: The data's standard deviation in the grid ``angle``.
        huber: c of the pseudo-Huber loss.
        descent: The teacher's way down, by name: ``flow``, or ``flow-from-data`` for a teacher that
            predicts noise.
        drop: The probability of hiding each condition, by name.

    Returns:
        The objective.
    """
    down, model = descents.build(descent, teacher=teacher), Consistency(segments, scale)
    return ConsistencyObjective(down, Knots(knots, knots, 1), model, reach, huber, Drop(drop or {}))


@objectives.register("consistency-training")
def consistency_training(
    process: Process,
    segments: int = 1,
    first: int = 8,
    last: int = 256,
    every: int = 2500,
    scale: float = 0.5,
    huber: float = 0.01,
    drop: Mapping[str, float] | None = None,
) -> ConsistencyObjective:
    """Consistency training without a teacher (Song & Dhariwal 2024), on knots that become finer.

    Args:
        process: The forward process of the model.
        segments: The segments of time.
        first: The knots a segment at first.
        last: The most knots a segment.
        every: The training steps after which the knots are doubled.
        scale: The data's standard deviation in the grid ``angle``.
        huber: c of the pseudo-Huber loss.
        drop: The probability of hiding each condition, by name.

    Returns:
        The objective.
    """
    return ConsistencyObjective(
        DataLine(process),
        Knots(first, last, every),
        Consistency(segments, scale),
        reach=1,
        huber=huber,
        drop=Drop(drop or {}),
    )
