r"""EDM's stochastic sampler (Karras et al. 2022, algorithm 2)."""

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
    """Churn (Karras et al. 2022, algorithm 2): noise is added before a step of an ODE solver, and
    the step goes from the higher level,

        k_hat = k (1 + gamma),     u_hat = u + sqrt(k_hat^2 - k^2) S_noise z,
        u = x / alpha,  k = sigma / alpha,  z ~ N(0, I).

    The process ends at t = 1, and so does k_hat.

    Args:
        gamma: share by which the level rises, from 0 to sqrt(2) - 1: S_churn / steps of the paper.
        s_min: lowest level k with churn.
        s_max: highest level k with churn.
        s_noise: S_noise, the deviation of the added noise over what it should be.
        solver: the one-step solver.
    """

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
            # Raise the level from k to k_hat.
            above = process.t_of_noise_level(level * (1 + self.gamma)).clamp(max=1.0)
            added = (process.noise_level(above) ** 2 - level**2).clamp(min=0).sqrt()
            scale = process.alpha(above)
            x_t = expand(scale / process.alpha(t), x_t) * x_t + expand(
                scale * added * self.s_noise, x_t
            ) * normal_like(x_t, randomness)
            t = torch.maximum(above, t)
        return self.solver.step(denoiser, x_t, t, s, history, randomness, condition)
