r"""Resampling, or time travel: each interval of a grid gone several times (Lugmayr et al. 2022)."""

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
from unfog.sampling.loop import Condition, History, Sampler


@dataclass(frozen=True)
class Resampled:
    """A sampler that goes each interval of the grid several times: down from t to s, then back up
    by the forward process,

        x_t = (alpha_t / alpha_s) x_s + sqrt(sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2) z,

    ``repeats`` times in all, the last time without going back: repeats * jump network calls an
    interval (Lugmayr et al. 2022; time travel in Yu et al. 2023). It leaves the law of an exact
    sampler as it is, and lets one whose step errs come nearer to the law at each noise level.

    Args:
        sampler: a one-step sampler.
        repeats: times that an interval is gone down, 1 or more.
        jump: steps an interval is divided into, 1 or more.

    Raises:
        InputError: One of them is less.
    """

    sampler: Sampler
    repeats: int = 10
    jump: int = 1

    def __post_init__(self) -> None:
        if self.repeats < 1 or self.jump < 1:
            raise InputError(
                f"Resampling takes at least 1 repeat of 1 step, got {self.repeats} of {self.jump}."
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
        """As of any sampler; it remembers nothing."""
        bridge = Bridge.of(denoiser.process, t, s)
        inner = torch.linspace(float(t), float(s), self.jump + 1, dtype=torch.float64)[:-1]
        times = torch.cat([inner, s.reshape(1)])
        for left in reversed(range(self.repeats)):
            # Down to s, then up to t again.
            for now, then in pairwise(times):
                x_t, _ = self.sampler.step(denoiser, x_t, now, then, (), randomness, condition)
            if left:
                up = expand(bridge.large.sqrt(), x_t) * normal_like(x_t, randomness)
                x_t = expand(bridge.alpha_t / bridge.alpha_s, x_t) * x_t + up
        return x_t, ()
