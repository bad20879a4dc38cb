r"""Learned variance: half of a network's channels say how uncertain x_0 is (Nichol & Dhariwal 2021).

The network gives v in [-1, 1], which places the variance of the reverse step between the bridge's and the forward step's,

    log Sigma = (1 + v)/2 log large + (1 - v)/2 log small,

for steps from one of ``steps`` knots to the next. As a statement about x_0 it holds for steps of any size:

    Var(x_0 | x_t) = (Sigma - small) / (d mean(x_s) / d x_0)^2.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.process import Process
from unfog.core.shapes import expand

TINY = 1e-20  # the variance of a step onto clean data is zero, and its logarithm is asked for


@dataclass(frozen=True)
class LearnedRange:
    """Reads v as the posterior variance of x_0."""

    steps: int = 1000

    def to_variance(self, v: Tensor, process: Process, t: Tensor) -> Tensor:
        """``v`` (batch, channels, *space) at times ``t`` (batch,) to Var(x_0 | x_t), of the same shape."""
        bridge = Bridge.of(process, t, (t - 1 / self.steps).clamp(min=0))
        low, high, gain = (expand(value, v.double()) for value in (bridge.small, bridge.large, bridge.x0_gain))
        share = (v.double() + 1) / 2
        step = (share * high.clamp(min=TINY).log() + (1 - share) * low.clamp(min=TINY).log()).exp()
        variance: Tensor = ((step - low).clamp(min=0) / gain**2).to(v)
        return variance
