"""Descents of consistency objectives: the ways from a noisy batch to one some knots cleaner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.process import Process
from unfog.core.registry import Registry
from unfog.core.shapes import expand
from unfog.sampling.ode import midpoint, straight


class Descent(Protocol):
    """The way from x_t at t down to x_s at s < t: a step of a teacher's ODE, or a line to x_0."""

    def __call__(
        self,
        x0: Tensor,
        x_t: Tensor,
        t: Tensor,
        between: Tensor,
        s: Tensor,
        condition: Mapping[str, Any],
    ) -> Tensor:
        """x_s, from which the model jumps on to the end of the segment.

        Args:
            x0: The clean data that x_t was made of (batch, channels, *space).
            x_t: The noisy batch, of the same shape.
            t: Its times, float64 (batch,).
            between: The times half-way from t to s on the grid, for methods of two calls.
            s: The times to reach, s < t.
            condition: The teacher's conditions by name.

        Returns:
            The batch at s, shaped as ``x_t``.
        """
        ...


descents: Registry[Descent] = Registry("descent")


@descents.register("flow")
@dataclass(frozen=True)
class TeacherFlow:
    """A step of the teacher's probability-flow ODE by the midpoint method (order 2, two calls)."""

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
    """``TeacherFlow`` for a teacher that predicts noise and so says nothing of x_0 at t = 1: its
    error in x_0 is that in the noise times sigma / alpha.

    The first half of a step from t = 1 follows the straight line through the data's own x_0, so
    that x has exactly its marginal law where the teacher is first called.
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
        # Half a step, by the teacher's estimate or at t = 1 by x_0 itself.
        estimate = torch.where(expand(t, x_t) < 1, teacher(x_t, t, **condition).mean, x0)
        half = straight(teacher.process, x_t, estimate, t, between)
        # The whole step by the estimate at the midpoint.
        return straight(teacher.process, x_t, teacher(half, between, **condition).mean, t, s)


@dataclass(frozen=True)
class DataLine:
    """The straight line through x_t and the x_0 it was made of, for training without a teacher: in
    the mean over x_0 it is the probability flow to first order in the step.
    """

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
