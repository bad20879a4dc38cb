r"""Churn: noise is added before a step of an ODE solver, and the step goes from the higher level
(Karras et al. 2022, algorithm 2).

    k_hat = k (1 + gamma),     u_hat = u + sqrt(k_hat^2 - k^2) S_noise noise,
    u = x / alpha, k = sigma / alpha,

for levels k between S_min and S_max. gamma is S_churn / steps of the paper, which stops it at
sqrt(2) - 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.sampling.loop import Condition, History, Sampler
from unfog.sampling.ode import Heun


@dataclass(frozen=True)
class Churn:
    """A one-step solver with churn; the process ends at t = 1, and so does k_hat."""

    gamma: float = 40 / 256
    s_min: float = 0.05
    s_max: float = 50.0
    s_noise: float = 1.003
    solver: Sampler = field(default_factory=Heun)

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 2**0.5 - 1:
            raise InputError(f"The churn of a step is between 0 and sqrt(2) - 1, got {self.gamma}.")

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
        process = denoiser.process
        level = process.noise_level(t)
        if self.s_min <= float(level) <= self.s_max:
            above = process.t_of_noise_level(level * (1 + self.gamma)).clamp(max=1.0)
            added = (process.noise_level(above) ** 2 - level**2).clamp(min=0).sqrt()
            scale = process.alpha(above)
            x_t = expand(scale / process.alpha(t), x_t) * x_t + expand(
                scale * added * self.s_noise, x_t
            ) * normal_like(x_t, randomness)
            t = torch.maximum(above, t)
        return self.solver.step(denoiser, x_t, t, s, history, randomness, condition)
