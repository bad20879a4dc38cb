r"""RePaint: inpainting that goes back and forth (Lugmayr et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.physics.linear import Operator
from unfog.posterior.projection import Projection
from unfog.sampling.loop import Condition, History, Sampler


@dataclass(frozen=True)
class RePaint:
    """RePaint (Lugmayr et al. 2022): each interval of the grid is gone several times, so that the
    free part of x learns of the measured one. Down from t to s by steps that end in a projection
    onto the measurement (``Projection``), then back up by the forward process,

        x_t = (alpha_t / alpha_s) x_s + sqrt(sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2) z,

    ``repeats`` times in all, the last time without going back: repeats * jump network calls an
    interval. The paper takes 10 repeats of jumps of 10 steps out of 250.

    Args:
        sampler: a one-step sampler, which sees the prior's own denoiser.
        operator: A.
        measurement: y, as the operator gives it for the batch.
        repeats: times that an interval is gone down, 1 or more.
        jump: steps an interval is divided into, 1 or more.
    """

    sampler: Sampler
    operator: Operator
    measurement: Tensor
    repeats: int = 10
    jump: int = 1

    def __post_init__(self) -> None:
        if self.repeats < 1 or self.jump < 1:
            raise InputError(
                f"RePaint takes at least 1 repeat of 1 step, got {self.repeats} of {self.jump}."
            )

    def step(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        history: History,
        randomness: Randomness,
        condition: Condition,
    ) -> tuple[Tensor, History]:
        projected, bridge = (
            Projection(self.sampler, self.operator, self.measurement),
            Bridge.of(denoiser.process, t, s),
        )
        times = torch.cat(
            [
                torch.linspace(float(t), float(s), self.jump + 1, dtype=torch.float64)[:-1],
                s.reshape(1),
            ]
        )
        for left in reversed(range(self.repeats)):
            # Down to s, then up to t again.
            for now, then in pairwise(times):
                x_t, _ = projected.step(denoiser, x_t, now, then, (), randomness, condition)
            if left:
                up = expand(bridge.large.sqrt(), x_t) * normal_like(x_t, randomness)
                x_t = expand(bridge.alpha_t / bridge.alpha_s, x_t) * x_t + up
        return x_t, ()
