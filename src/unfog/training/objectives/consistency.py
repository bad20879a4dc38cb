r"""Consistency in segments: distillation (Song et al. 2023, Heek et al. 2024) and training (Song &
Dhariwal 2024, Geng et al. 2025).

The times from 1 to 0 are cut into segments, each into knots. From a knot x_t one goes some knots
down, to x_s, and from there the model itself, its gradient stopped, jumps to the end e of the
segment. The model is to land there from x_t at once:

    loss = sqrt(mean |f(x_t, t) - y|^2 + c^2) - c,
    y: the x_0 whose straight line through x_t meets x_e (the inverse of DDIM's step).

Where s = e nothing is left to jump: that anchors all the rest. What goes down is a teacher's
probability flow (distillation), or the straight line through x_0 itself, whose mean is that flow's
to first order (training). Going all the way, reach = knots, is regression onto the teacher's own
landing: dearer a step, and without a moving target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, NetworkDenoiser
from unfog.core.process import Process
from unfog.core.random import normal
from unfog.core.registry import Registry
from unfog.core.shapes import expand, mean_per_sample
from unfog.errors import InputError
from unfog.sampling.consistency import Consistency
from unfog.sampling.grids import angle
from unfog.sampling.ode import midpoint, straight
from unfog.training.objectives.denoising import Drop, given, objectives
from unfog.training.objectives.times import Stratified
from unfog.training.order import streams


class Descent(Protocol):
    """Goes from x_t at t to x_s at s < t by way of the time between them."""

    def __call__(
        self,
        x0: Tensor,
        x_t: Tensor,
        t: Tensor,
        between: Tensor,
        s: Tensor,
        condition: Mapping[str, Any],
    ) -> Tensor:
        """x0, x_t (batch, channels, *space), times (batch,) float64 -> x_s."""
        ...


descents: Registry[Descent] = Registry("descent")


@descents.register("flow")
@dataclass(frozen=True)
class TeacherFlow:
    """The teacher's probability flow: the midpoint method, of order 2, two calls."""

    teacher: Denoiser

    def __call__(
        self,
        x0: Tensor,
        x_t: Tensor,
        t: Tensor,
        between: Tensor,
        s: Tensor,
        condition: Mapping[str, Any],
    ) -> Tensor:
        return midpoint(self.teacher.to(x_t.device), x_t, t, between, s, condition)


@descents.register("flow-from-data")
@dataclass(frozen=True)
class TeacherFlowFromData:
    """The same for a teacher that is blind at t = 1, as one of noise is: its error in x_0 is that
    in the noise times sigma / alpha.

    The first half of a step from t = 1 follows the line through x_0, so that x has its law exactly
    where the teacher is first believed.
    """

    teacher: Denoiser

    def __call__(
        self,
        x0: Tensor,
        x_t: Tensor,
        t: Tensor,
        between: Tensor,
        s: Tensor,
        condition: Mapping[str, Any],
    ) -> Tensor:
        teacher = self.teacher.to(x_t.device)
        seen = torch.where(expand(t, x_t) < 1, teacher(x_t, t, **condition).mean, x0)
        half = straight(teacher.process, x_t, seen, t, between)
        return straight(teacher.process, x_t, teacher(half, between, **condition).mean, t, s)


@dataclass(frozen=True)
class DataLine:
    """The line through x_t and the x_0 it was made of: no teacher."""

    process: Process

    def __call__(
        self,
        x0: Tensor,
        x_t: Tensor,
        t: Tensor,
        between: Tensor,
        s: Tensor,
        condition: Mapping[str, Any],
    ) -> Tensor:
        return straight(self.process, x_t, x0, t, s)


@dataclass(frozen=True)
class Knots:
    """Knots a segment: ``first``, doubled every ``every`` steps up to ``last`` (Song & Dhariwal
    2024).
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
    """Holds the model to land from every knot where it lands from ``reach`` knots below."""

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
        """The loss of each sample (batch,); ``batch["x"]`` on the model's scale."""
        x0, process, knots = batch["x"], denoiser.process, self.knots(step)
        condition = {
            **given(denoiser, batch),
            "keep": self.drop.keep(samples, seed, step, x0.device),
        }
        halves = angle(self.model.scale)(process, 2 * self.model.segments * knots).flip(
            0
        )  # every other one is a knot, from t = 0 up
        place = 1 + (Stratified()(seed, step, samples) * self.model.segments * knots).long()
        end = (place - 1) // knots * knots
        t, noise = (
            halves[2 * place],
            normal(x0.shape, streams("noise", seed, step, samples), like=x0),
        )
        alpha, sigma = denoiser.scales(t)
        x_t = expand(alpha, x0) * x0 + expand(sigma, x0) * noise
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
        """x at the end of each sample's segment: ``reach`` knots down, then the model's jump for
        those who are not there yet.
        """
        x = x_t.clone()
        for k in range(self.reach + 1):
            (at,) = torch.where(place - k > end)
            if not len(at):
                break
            some, here = partial(_some, at), 2 * (place[at] - k)
            if k < self.reach:
                x[at] = self.descent(
                    x0[at], x[at], halves[here], halves[here - 1], halves[here - 2], some(condition)
                )
            else:
                t = halves[here]
                x[at] = straight(
                    denoiser.process,
                    x[at],
                    denoiser(x[at], t, **some(condition)).mean,
                    t,
                    halves[2 * end[at]],
                )
        return x


def _some(at: Tensor, condition: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions of the samples ``at``."""
    return {
        name: _some(at, value) if isinstance(value, Mapping) else value[at]
        for name, value in condition.items()
    }


def through(process: Process, x_t: Tensor, x_s: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The x_0 on the line from x_t through x_s: the inverse of ``straight``."""
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
    """Distillation of ``teacher``, with ``knots`` knots a segment."""
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
    """Training without a teacher: the knots become finer as it goes."""
    return ConsistencyObjective(
        DataLine(process),
        Knots(first, last, every),
        Consistency(segments, scale),
        reach=1,
        huber=huber,
        drop=Drop(drop or {}),
    )
