"""How far a denoised image errs, in deviations that the prior states: about 1 where images are
like those of the prior, more where it is wrong.

For y = x_0 + s n and any denoiser m(y), the error of its mean is known without x_0 (Stein 1981),

    E|m - x_0|^2 = E|y - m|^2 - s^2 + 2 s^2 div m,

and s^2 div m is the variance V that the prior states by Tweedie's second formula. So

    misfit^2 = E|m - x_0|^2 / V = 1 + (E|y - m|^2 - (s^2 - V)) / V,

what the mean leaves over what the prior's own variance says.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.physics.operators import Identity
from unfog.runs.memory import Budget, within_memory
from unfog.runs.model_scale import on_model_scale
from unfog.runs.run import Run, data_range
from unfog.runs.windows import in_windows

IMAGES = 16  # of a stack, evenly spaced, are looked at
ABOVE = 3.0  # deviations of the noise: signal, where that of magnitudes is Gaussian
LEAST = 1000  # values


def misfit_of(run: Run, y: Tensor, mean: Tensor, sigma: float, seed: int = 0) -> float | None:
    """The root of the mean square error of a posterior mean over the variance that the prior states
    for it, where there is signal.

    Args:
        run: The prior.
        y: Images with Gaussian noise in natural units, (images, channels, *space).
        mean: The posterior mean given them.
        sigma: The noise's standard deviation, in the same units.
        seed: Of the probes that find the variance.

    Returns:
        The misfit; None where fewer than a thousand values are three deviations above the smallest
        value of the model's data.
    """
    some = torch.linspace(0, len(y) - 1, min(len(y), IMAGES)).round().long()
    y, mean = y[some], mean[some]
    signal = mean - data_range(run)[0] > ABOVE * sigma
    if int(signal.sum()) < LEAST:
        return None
    variance = float(_variance(run, y, sigma, seed)[signal].mean())
    if not variance > 0:
        return None
    left = float((y - mean)[signal].square().mean())
    return math.sqrt(max(0.0, 1 + (left - (sigma**2 - variance)) / variance))


def _variance(run: Run, y: Tensor, sigma: float, seed: int) -> Tensor:
    """An unbiased estimate of the prior's variance of each value given y, in natural units: v times
    Cov(x_0 | x_t) v, with a v of random signs.
    """
    scaled = on_model_scale(run, y, Identity(), sigma)
    process = run.denoiser.process
    t = process.t_of_noise_level(torch.tensor(scaled.sigma))
    signs = torch.randint(0, 2, y.shape, generator=generator(seed, "misfit")).to(y) * 2 - 1

    def of_all(budget: Budget) -> Tensor:
        prior, parts = budget.prior(in_windows(run, run.denoiser, y.shape[2:])), []
        for x, v in zip(
            *(torch.split(each, budget.batch) for each in (scaled.y, signs)), strict=True
        ):
            _, covariance = prior.with_covariance(x * process.alpha(t).to(x), t)
            parts.append(v * covariance(v).detach())
        return torch.cat(parts)

    variance, _ = within_memory(of_all, Budget(4), y.shape[2:])
    return variance * (sigma / scaled.sigma) ** 2
