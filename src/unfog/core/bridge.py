"""The bridge q(x_s | x_t, x_0): the forward process between two times, its end x_0 given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from unfog.core.process import Instant, Process

N = TypeVar("N", float, Tensor)


@dataclass(frozen=True)
class Bridge(Generic[N]):
    """The Gaussian q(x_s | x_t, x_0) of one step from t to s < t.

    With r = SNR_t / SNR_s the forward process has exactly

        x_s | x_t, x_0 ~ N(alpha_s x_0 + r (alpha_s / alpha_t) (x_t - alpha_t x_0),
                           sigma_s^2 (1 - r)).

    For DDPM's table and neighbouring knots this is q(x_{t-1} | x_t, x_0) of Ho et al. 2020 (eq. 7).
    All fields are float64, shaped as the times, or floats; samplers and the variational bound make
    one a step.
    """

    alpha_t: N
    sigma_t: N
    alpha_s: N
    sigma_s: N
    one_minus_r: N  # 1 - SNR_t / SNR_s, with its digits kept

    @staticmethod
    def between(now: Instant, then: Instant) -> Bridge[float]:
        """The bridge of a step from one time to another, in floats."""
        one_minus_r = -math.expm1(now.log_snr - then.log_snr)
        return Bridge(now.alpha, now.sigma, then.alpha, then.sigma, one_minus_r)

    @staticmethod
    def of(process: Process, t: Tensor, s: Tensor) -> Bridge[Tensor]:
        """The bridge of a step.

        Args:
            process: The forward process.
            t: The noisier time, float64, a scalar or (batch,).
            s: The time the step ends at, s < t, of the same shape.

        Returns:
            The bridge from t to s.
        """
        # 1 - r by expm1 of the log-SNRs' difference: accurate also where r is near 1.
        one_minus_r = -torch.expm1(process.log_snr(t) - process.log_snr(s))
        return Bridge(
            process.alpha(t), process.sigma(t), process.alpha(s), process.sigma(s), one_minus_r
        )

    @property
    def small(self) -> N:
        """Variance of x_s given x_t and x_0, sigma_s^2 (1 - r): DDPM's beta-tilde."""
        return self.sigma_s**2 * self.one_minus_r

    @property
    def large(self) -> N:
        """Variance of x_t given x_s, sigma_t^2 (1 - r): DDPM's beta."""
        return self.sigma_t**2 * self.one_minus_r

    @property
    def x0_gain(self) -> N:
        """d mean(x_s) / d x_0 = alpha_s (1 - r)."""
        return self.alpha_s * self.one_minus_r

    @property
    def xt_gain(self) -> N:
        """d mean(x_s) / d x_t = r alpha_s / alpha_t."""
        # r written out, so that alpha_t = 0 divides nothing.
        return self.alpha_t / self.alpha_s * (self.sigma_s / self.sigma_t) ** 2
