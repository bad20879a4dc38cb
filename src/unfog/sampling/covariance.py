r"""Ancestral sampling with the posterior's covariance, for draws at few steps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.sampling.grids import require_signal
from unfog.sampling.lanczos import function_times
from unfog.sampling.loop import Condition, History


@dataclass(frozen=True)
class CovarianceSampler:
    """Ancestral sampling that keeps the spread of x_0 given x_t; for posterior draws at 6 to 9
    steps.

    DDPM's step takes x_0 for its mean, and so drops the spread of x_0 given x_t. Here x_s has the
    covariance that it has where x_0 given x_t is Gaussian,

        x_s = bridge mean at E[x_0 | x_t] + (v I + g^2 Cov(x_0 | x_t))^{1/2} z,
        v: the bridge's variance,  g = d mean(x_s) / d x_0,  z ~ N(0, I),

    with Cov(x_0 | x_t) from the denoiser's Jacobian (Tweedie's second formula) and the root by the
    Lanczos process: one network call and ``products`` vector-Jacobian products a step, each about
    another call. The last step, onto sigma = 0, has its noise too.

    It is exact for a Gaussian in any number of steps, one included. While several modes are in play
    x_0 given x_t is not Gaussian, and only there do steps count: end the grid's levels where one
    mode is left, about the deviation within a mode, and leave the rest to the step onto 0.

    Args:
        products: products with the Jacobian a step, 1 or more.
    """

    products: int = 4

    def __post_init__(self) -> None:
        if self.products < 1:
            raise InputError(
                "Calibrated draws need at least one product with the Jacobian a step, got "
                f"products = {self.products}."
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
        require_signal(denoiser.process, t, "The sampler of calibrated draws")
        bridge = Bridge.of(denoiser.process, t, s)
        # Tweedie's first and second formulas.
        x0, covariance = denoiser.with_covariance(x_t, t, **condition)

        # (v I + g^2 Cov)^{1/2} z, by Lanczos.
        def deviation(variance: Tensor) -> Tensor:
            root: Tensor = (
                bridge.small.to(variance) + bridge.x0_gain.to(variance) ** 2 * variance
            ).sqrt()
            return root

        noise = function_times(covariance, normal_like(x_t, randomness), deviation, self.products)
        return expand(bridge.x0_gain, x_t) * x0 + expand(bridge.xt_gain, x_t) * x_t + noise, ()
