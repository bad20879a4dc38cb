r"""Langevin dynamics: x <- x + e score + sqrt(2 e) z, z ~ N(0, I), leaves p_t as it is, for small
steps e.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand, sum_per_sample
from unfog.errors import InputError
from unfog.sampling.grids import require_signal
from unfog.sampling.loop import Condition, History, Sampler
from unfog.sampling.sde import ReverseDiffusion


@dataclass(frozen=True)
class Langevin:
    """One step of the Langevin corrector at a fixed time (Song et al. 2021, algorithms 4 and 5),
    which repairs what a predictor left wrong:

        x <- x + e score + sqrt(2 e) z,     e = 2 (snr |z| / |score|)^2,

    here of each sample by its own norms.

    Args:
        snr: signal-to-noise ratio of the step.
    """

    snr: float = 0.16

    def __call__(
        self, denoiser: Denoiser, x: Tensor, t: Tensor, randomness: Randomness, condition: Condition
    ) -> Tensor:
        score, noise = denoiser.score(x, t, **condition), normal_like(x, randomness)
        size = 2 * self.snr**2 * sum_per_sample(noise**2) / sum_per_sample(score**2)
        return x + expand(size, x) * score + expand((2 * size).sqrt(), x) * noise


@dataclass(frozen=True)
class PredictorCorrector:
    """Predictor-corrector sampling (Song et al. 2021, algorithm 1): a predictor's step, then
    Langevin steps at the time it arrives at; one network call for each.

    Args:
        predictor: a one-step sampler.
        corrector: the Langevin step.
        corrections: Langevin steps after each of the predictor's; none after the last.
    """

    predictor: Sampler = field(default_factory=ReverseDiffusion)
    corrector: Langevin = field(default_factory=Langevin)
    corrections: int = 1

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
        x, history = self.predictor.step(denoiser, x_t, t, s, history, randomness, condition)
        if float(denoiser.process.sigma(s)) > 0:
            for _ in range(self.corrections):
                x = self.corrector(denoiser, x, s, randomness, condition)
        return x, history


@dataclass(frozen=True)
class AnnealedLangevin:
    """Annealed Langevin dynamics (Song & Ermon 2019, algorithm 1), a whole sampler: at each noise
    level k = sigma / alpha, with u = x / alpha and e = k^2 step_size / 2,

        u <- u + (step_size / 2) (D - u) + sqrt(step_size) k z,

    and at the end the denoised x_0 (Jolicoeur-Martineau et al. 2021). A Gaussian's variance comes
    out larger, by at most 1 / (1 - step_size / 4).

    Args:
        step_size: above 0 and below 2.
        repeats: steps, and network calls, at each time of the grid.
    """

    step_size: float = 0.2
    repeats: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.step_size < 2 or self.repeats < 1:
            raise InputError(
                "Annealed Langevin needs 0 < step_size < 2 and repeats >= 1, got "
                f"{self.step_size} and {self.repeats}."
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
        process = denoiser.process
        require_signal(process, t, "Annealed Langevin")
        alpha, level = expand(process.alpha(t), x_t), expand(process.noise_level(t), x_t)
        u = x_t / alpha
        for _ in range(self.repeats):
            x0 = denoiser(alpha * u, t, **condition).mean
            u = (
                u
                + 0.5 * self.step_size * (x0 - u)
                + self.step_size**0.5 * level * normal_like(u, randomness)
            )
        # The last step ends with the denoised x_0.
        if float(process.sigma(s)) == 0:
            u = denoiser(alpha * u, t, **condition).mean
        return expand(process.alpha(s), u) * u, ()
