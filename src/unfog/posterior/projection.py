r"""Projection onto the measurement after each step of a sampler (Song et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.physics.linear import Operator
from unfog.sampling.loop import Condition, History, Sampler


@dataclass(frozen=True)
class Projection:
    """Projection onto the measurement, as score SDEs inpaint (Song et al. 2021, appendix I; Song,
    Shen, Xing & Ermon 2022 for scans). After each step the measured part of x_s is replaced by the
    measurement, noised to the same time:

        x_s <- x_s + lambda A+ (alpha_s y + sigma_s A z - A x_s),     z ~ N(0, I),

    for measurements without noise of their own. The draw is not that of the posterior, as the rest
    of x_s does not know of the measurement in time.

    Args:
        sampler: the sampler it wraps, which sees the prior's own denoiser.
        operator: A.
        measurement: y, as the operator gives it for the batch.
        share: lambda, in (0, 1].
    """

    sampler: Sampler
    operator: Operator
    measurement: Tensor
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(
                f"The share of a projection is above 0 and at most 1, got {self.share}."
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
        x_s, history = self.sampler.step(denoiser, x_t, t, s, history, randomness, condition)
        # alpha_s y + sigma_s A z - A x_s.
        alpha, sigma = denoiser.scales(s)
        gap = expand(alpha, self.measurement) * self.measurement - self.operator(x_s)
        if float(sigma) > 0:
            gap = gap + expand(sigma, gap) * self.operator(normal_like(x_s, randomness))
        return x_s + self.share * self.operator.pseudo_inverse(gap), history
