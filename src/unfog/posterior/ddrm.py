r"""Denoising diffusion restoration models, DDRM (Kawar, Elad, Ermon & Song 2022): ``DDRMSteps`` is
the sampler of the paper, ``DDRM`` its mean as a posterior method for other samplers.

Throughout u = x / alpha, k = sigma / alpha, D is the denoiser's estimate of x_0, and A has singular
values s_i. Along singular vector i, D_i is the component of D and y_i the measurement, divided by
s_i, with noise of deviation q_i = sigma_y / s_i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.physics.linear import Operator, gram_function, inverse
from unfog.posterior.linear import LinearPosterior
from unfog.sampling.loop import Condition, History

ETA, ETA_MEASURED = 0.85, 1.0  # the paper's for all its tasks


def trust(e: Tensor, level: Tensor, sigma: float, eta: float, eta_measured: float) -> Tensor:
    """The weight of y_i against D_i in the mean of a DDRM step (Kawar et al. 2022):

        eta_b                       where q_i <= k,
        sqrt(1 - eta^2) k / q_i     where q_i > k, and so 0 where nothing was measured.

    Args:
        e: eigenvalues s_i^2 of A A*.
        level: k = sigma / alpha, of a shape that broadcasts to e.
        sigma: sigma_y, the deviation of the measurement's noise.
        eta: share of fresh noise where the measurement is noisier than k.
        eta_measured: eta_b, the weight of y_i where it is not.

    Returns:
        The weights, shaped as e.
    """
    ratio = level * e.sqrt() / sigma if sigma > 0 else torch.where(e > 0, torch.inf, 0.0)  # k / q_i
    return torch.where(ratio >= 1, eta_measured, (1 - eta**2) ** 0.5 * ratio)


class DDRM(LinearPosterior):
    """A denoiser of x_0 given x_t and y with the mean of DDRM's step (Kawar et al. 2022) at k_t:

        D_i + w_i (y_i - D_i),     w_i = ``trust``.

    It is the paper's mean where a sampler replaces all noise in every step; under other samplers it
    is a related method. One network call, and no product with its Jacobian; the operator's spectrum
    is needed.

    Args:
        denoiser: D, the prior's.
        operator: A, whose spectrum is needed.
        measurement: y, as the operator gives it for a batch.
        sigma: sigma_y, the deviation of the measurement's noise, 0 or more, on its scale.
        eta: share of fresh noise where the measurement is noisier than x_t, from 0 to 1.
        eta_measured: eta_b, the weight of y_i against D_i where it is not, from 0 to 1.

    Raises:
        InputError: for a sigma that is negative or not finite.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        operator: Operator,
        measurement: Tensor,
        sigma: float,
        eta: float = ETA,
        eta_measured: float = ETA_MEASURED,
    ) -> None:
        super().__init__(denoiser, operator, measurement, sigma)
        self.eta, self.eta_measured = eta, eta_measured

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        x0: Tensor = self.denoiser(x_t, t, **condition).mean
        residual = self.residual(x0)
        level = expand(self.process.noise_level(t), residual)

        def weight(e: Tensor) -> Tensor:
            return trust(e, level, self.sigma, self.eta, self.eta_measured) * inverse(e)

        return Posterior(x0 + self.operator.filtered(weight, residual))


@dataclass(frozen=True)
class DDRMSteps:
    """DDRM's sampler (Kawar et al. 2022), which draws each component in A's singular basis:

        not measured    u_s,i ~ N(D_i + sqrt(1 - eta^2) (k_s / k_t) (u_t,i - D_i),  eta^2 k_s^2)
        q_i > k_s       u_s,i ~ N(D_i + sqrt(1 - eta^2) (k_s / q_i) (y_i - D_i),    eta^2 k_s^2)
        q_i <= k_s      u_s,i ~ N((1 - eta_b) D_i + eta_b y_i,           k_s^2 - eta_b^2 q_i^2)

    It takes the prior's own denoiser, and makes one network call a step.

    Args:
        operator: A, whose spectrum is needed.
        measurement: y, as the operator gives it for the batch.
        sigma: sigma_y, 0 or more.
        eta: share of fresh noise, from 0 to 1.
        eta_measured: eta_b, the weight of y_i against D_i where q_i is up to k_s, from 0 to 1.

    Raises:
        InputError: for a share outside [0, 1], or a negative sigma.
    """

    operator: Operator
    measurement: Tensor
    sigma: float
    eta: float = ETA
    eta_measured: float = ETA_MEASURED

    def __post_init__(self) -> None:
        if not (0 <= self.eta <= 1 and 0 <= self.eta_measured <= 1 and self.sigma >= 0):
            raise InputError(
                "DDRM's shares eta and eta_measured are from 0 to 1, and its noise is not below "
                "zero."
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
        process, x0 = denoiser.process, denoiser(x_t, t, **condition).mean
        kt = expand(process.noise_level(t), x_t)
        ks = expand(process.noise_level(s), x_t)
        noise = normal_like(x_t, randomness)

        # Three functions of the eigenvalues e = s_i^2 of A A*: the weight of y in the mean of what
        # is measured, that of u_t in the mean of what is not, and the deviation of the fresh noise.
        def weight(e: Tensor) -> Tensor:
            return trust(e, ks, self.sigma, self.eta, self.eta_measured) * inverse(e)

        def free_share(e: Tensor) -> Tensor:
            return torch.where(e > 0, 0.0, (1 - self.eta**2) ** 0.5 * ks / kt)

        def deviation(e: Tensor) -> Tensor:
            variance = self.sigma**2 * inverse(e)  # q_i^2
            certain = (e > 0) & (variance <= ks**2)
            rest = (ks**2 - self.eta_measured**2 * variance).clamp(min=0)
            return torch.where(certain, rest, self.eta**2 * ks**2).sqrt()

        # The draw, in image space.
        measured = x0 + self.operator.filtered(weight, self.measurement - self.operator(x0))
        free = gram_function(self.operator, free_share, x_t / expand(process.alpha(t), x_t) - x0)
        fresh = gram_function(self.operator, deviation, noise)
        return expand(process.alpha(s), x_t) * (measured + free + fresh), ()
