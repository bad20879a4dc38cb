r"""RePaint: inpainting that goes back and forth (Lugmayr et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness
from unfog.physics.linear import Operator
from unfog.posterior.projection import Projection
from unfog.sampling.loop import Condition, History, Sampler
from unfog.sampling.resampled import Resampled


@dataclass(frozen=True)
class RePaint:
    """RePaint (Lugmayr et al. 2022): each interval of the grid is gone several times, so that the
    free part of x learns of the measured one: ``Resampled`` steps that end in a projection onto the
    measurement (``Projection``). The paper takes 10 repeats of jumps of 10 steps out of 250.

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
        self.resampled()  # too few repeats are told at once

    def resampled(self) -> Resampled:
        """The projected sampler, gone several times."""
        projected = Projection(self.sampler, self.operator, self.measurement)
        return Resampled(projected, self.repeats, self.jump)

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
        return self.resampled().step(denoiser, x_t, t, s, history, randomness, condition)
