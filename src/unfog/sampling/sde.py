r"""Predictors of the reverse-time SDE (Song et al. 2021, section 4 and appendix E),

    dx = (f x - g^2 score) dt + g dW,   backwards in time.

Their third predictor, ancestral, is ``DDPM``. The last step, onto sigma = 0, adds no noise.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.sampling.grids import require_signal
from unfog.sampling.loop import Condition, History


def _noised(mean: Tensor, variance: Tensor, last: bool, randomness: Randomness) -> Tensor:
    return mean if last else mean + expand(variance.sqrt(), mean) * normal_like(mean, randomness)


@dataclass(frozen=True)
class EulerMaruyama:
    """Euler-Maruyama, the reverse-time SDE discretised as it stands; of order 1 in law, one
    network call a step:

        x_s = (1 - f (t - s)) x_t + g^2 (t - s) score + sqrt(g^2 (t - s)) z,     z ~ N(0, I).
    """

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
        process, stride = denoiser.process, t - s
        require_signal(process, t, "Euler-Maruyama")
        variance = process.diffusion(t) * stride
        score = denoiser.score(x_t, t, **condition)
        mean = expand(1 - process.drift(t) * stride, x_t) * x_t + expand(variance, x_t) * score
        return _noised(mean, variance, float(process.sigma(s)) == 0, randomness), ()


@dataclass(frozen=True)
class ReverseDiffusion:
    """The reverse-diffusion predictor, which discretises the reverse SDE as the forward process
    is: that is x_t = a x_s + b noise with a = alpha_t / alpha_s and b^2 = sigma_t^2 - a^2
    sigma_s^2, so

        x_s = (2 - a) x_t + b^2 score + b z,     z ~ N(0, I).

    One network call a step.
    """

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
        bridge = Bridge.of(denoiser.process, t, s)
        a, variance = bridge.alpha_t / bridge.alpha_s, bridge.large
        mean = expand(2 - a, x_t) * x_t + expand(variance, x_t) * denoiser.score(
            x_t, t, **condition
        )
        return _noised(mean, variance, float(bridge.sigma_s) == 0, randomness), ()
