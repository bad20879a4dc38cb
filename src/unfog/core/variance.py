r"""Learned variance: half of a network's channels say how uncertain x_0 is (Nichol & Dhariwal
2021).

The network gives v in [-1, 1], which places the variance of the reverse step between the bridge's
and the forward step's,

    log Sigma = (1 + v)/2 log large + (1 - v)/2 log small,

for steps from one of ``steps`` knots to the next. As a statement about x_0 it holds for steps of
any size:

    Var(x_0 | x_t) = (Sigma - small) / (d mean(x_s) / d x_0)^2.
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
    """Reads v as the posterior variance of x_0, for a table of ``steps`` knots."""

    steps: int = 1000

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise InputError(
                f"A learned range of variances needs a table of at least 2 steps, got {self.steps}."
            )

    def to_variance(self, v: Tensor, process: Process, t: Tensor) -> Tensor:
        """``v`` (batch, channels, *space) at times ``t`` (batch,) to Var(x_0 | x_t), of the same
        shape; below zero where v < -1.
        """
        bridge = Bridge.of(process, t, (t - 1 / self.steps).clamp(min=0))
        low, high, gain = (
            expand(value, v.double()) for value in (bridge.small, bridge.large, bridge.x0_gain)
        )
        share = (v.double() + 1) / 2
        step = (
            share * high.clamp(min=TINY).log()
            + (1 - share) * self._lowest(bridge, process, v).clamp(min=TINY).log()
        ).exp()
        variance: Tensor = ((step - low) / gain**2).to(v)
        return variance

    def _lowest(self, bridge: Bridge, process: Process, v: Tensor) -> Tensor:
        """The bridge's variance; zero for the first step, whose logarithm is asked for: there the
        second step's, as in the paper's code.
        """
        knots = torch.tensor(
            [2 / self.steps, 1 / self.steps], dtype=torch.float64, device=bridge.small.device
        )
        second = Bridge.of(process, *knots).small
        return expand(torch.where(bridge.small > 0, bridge.small, second), v.double())
