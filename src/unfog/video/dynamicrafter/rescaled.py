r"""The rescaled signal of DynamiCrafter's models of 512 and 1024 pixels: a process with a little
less signal at its noisier times, and the v that goes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.prediction import Prediction, predictions
from unfog.core.process import Process, processes
from unfog.errors import InputError

TURN = 400  # steps of 1000 from which the scale is constant
STEPS = 1000


@dataclass(frozen=True)
class RescaledSignal(Process):
    """A process whose signal is scaled by s(t) and whose noise is left:

        x_t = s(t) alpha(t) x_0 + sigma(t) n,

    with s = 1 up to the first of 1000 steps, falling linearly to ``base`` at the 400th and constant
    from there. The authors call it dynamic rescaling of the data.
    """

    inner: Process
    base: float

    def alpha(self, t: Tensor) -> Tensor:
        return self.inner.alpha(t) * self.scale(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.inner.sigma(t)

    def scale(self, t: Tensor) -> Tensor:
        """s(t), shaped as t."""
        return 1 + (self.base - 1) * ((STEPS * t - 1) / (TURN - 1)).clamp(0, 1)

    def t_of(self, log_snr: Tensor) -> Tensor:
        # The log-SNR falls strictly, so its inverse is found by bisection, to the last digit.
        low, high = torch.zeros_like(log_snr), torch.ones_like(log_snr)
        for _ in range(60):
            middle = (low + high) / 2
            later = self.log_snr(middle) > log_snr
            low, high = torch.where(later, middle, low), torch.where(later, high, middle)
        return (low + high) / 2


@processes.register("rescaled-signal")
def rescaled_signal(inner: Mapping[str, Any] | str = "zero-snr", base: float = 0.7) -> Process:
    """The process ``inner`` with its signal rescaled to ``base`` at its noisier times.

    Args:
        inner: A process that preserves the variance, by name or registry config.
        base: The scale from the 400th of 1000 steps on: 0.7 in the published models of 512 x 320
            pixels, 0.3 in that of 1024 x 576.

    Returns:
        The process.

    Raises:
        InputError: The base is not above 0 and at most 1.
    """
    if not 0 < base <= 1:
        raise InputError(f"The base of a rescaled signal is above 0 and at most 1, got {base}.")
    return RescaledSignal(processes.build(inner), base)


@predictions.register("rescaled-v")
@dataclass(frozen=True)
class RescaledV(Prediction):
    """v of the rescaled data s x_0 in a process of `RescaledSignal` whose inner one preserves the
    variance: out = a n - sigma s x_0 with a = sqrt(1 - sigma^2) and s = alpha / a, so that

        x_0 = (a x_t - sigma out) / s.

    Args:
        base: s where there is no signal.
    """

    base: float = 0.7

    def rule(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        a = (1 - sigma**2).clamp(min=0).sqrt()
        # At the noisy end both are zero; the scale is its last there.
        s = torch.where(alpha > 0, alpha / a, torch.full_like(alpha, self.base))
        return -sigma / s, a / s
