"""Learned variance (Nichol & Dhariwal 2021): the second half of a network's channels give the
variance of the reverse step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.process import Process
from unfog.core.registry import Registry
from unfog.core.shapes import expand
from unfog.errors import InputError

TINY = 1e-20

variances: Registry[LearnedRange] = Registry("learned variance")


@variances.register("learned-range")
@dataclass(frozen=True)
class LearnedRange:
    r"""Learned-range variance, as the posterior variance of x_0 (Nichol & Dhariwal 2021, eq. 15).

    The network gives v in [-1, 1], which interpolates the log-variance of the reverse step between
    the bridge's (``small``) and the forward step's (``large``),

        log Sigma = (1 + v)/2 log large + (1 - v)/2 log small,

    for the step from one knot of a table of ``steps`` to the next. As a variance of x_0 it serves
    steps of any size:

        Var(x_0 | x_t) = (Sigma - small) / (d mean(x_s) / d x_0)^2.
    """

    steps: int = 1000

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise InputError(
                f"A learned range of variances needs a table of at least 2 steps, got {self.steps}."
            )

    def to_variance(self, v: Tensor, process: Process, t: Tensor) -> Tensor:
        """Var(x_0 | x_t) of the network's v.

        Args:
            v: The second half of the network's output (batch, channels, *space).
            process: The forward process.
            t: Times, float64 (batch,).

        Returns:
            The posterior variance of x_0, shaped as ``v``; below zero where v < -1.
        """
        # The table's step from t to the knot before it.
        bridge = Bridge.of(process, t, (t - 1 / self.steps).clamp(min=0))
        low, high, gain = (
            expand(value, v.double()) for value in (bridge.small, bridge.large, bridge.x0_gain)
        )
        # Sigma, interpolated in the logarithm.
        share = (v.double() + 1) / 2
        step = (
            share * high.clamp(min=TINY).log()
            + (1 - share) * self._lowest(bridge, process, v).clamp(min=TINY).log()
        ).exp()
        # What Sigma has beyond the bridge's variance is the uncertainty of x_0.
        variance: Tensor = ((step - low) / gain**2).to(v)
        return variance

    def _lowest(self, bridge: Bridge[Tensor], process: Process, v: Tensor) -> Tensor:
        """The bridge's variance, clipped as in the paper's code: that of the first step is zero and
        has no logarithm, so the second step's takes its place.
        """
        knots = torch.tensor(
            [2 / self.steps, 1 / self.steps], dtype=torch.float64, device=bridge.small.device
        )
        second = Bridge.of(process, *knots).small
        return expand(torch.where(bridge.small > 0, bridge.small, second), v.double())
