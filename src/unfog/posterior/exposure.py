r"""The likeliest exposure of a dark picture: y = f x + m + s e has a likelihood in f and m that a
diffusion prior knows exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand, mean_per_sample
from unfog.errors import InputError
from unfog.physics.exposure import Exposure

# Noise levels k: at the first only the whole of a picture is seen, at the last most contrasts
LEVELS = (2.0, 1.0, 0.5)
MOST = 0.7  # change of ln f, and of m in deviations of y, in one iteration


def likeliest_exposure(
    denoiser: Denoiser,
    y: Tensor,
    start: Exposure,
    noise: Tensor,
    randomness: Randomness,
    levels: Sequence[float] = LEVELS,
    iterations: int = 6,
) -> Exposure:
    """f and m of each picture of the largest likelihood under a diffusion prior, by expectation
    maximisation (Dempster, Laird & Rubin 1977).

    Given f and m a picture with more white noise, y' of deviation S, is x_t itself, so that

        p(y' | f, m) = f^-d p_k((y' - m) / f),     k = S / f the noise level,

    and an iteration (``Step``) takes two moments of it, the denoiser's mean and the trace of its
    covariance. The slow convergence of the iterations is mended by Broyden's method
    (``fixed_point``), and wrong starts by taking the noise down in levels. One network call and one
    product with its Jacobian an iteration.

    Args:
        denoiser: the prior's.
        y: the pictures, (batch, channels, *space).
        start: the exposure to start from, its m a number for each picture.
        noise: s, the deviation of the pictures' noise, (batch,), above 0.
        randomness: a generator, or one a picture.
        levels: noise levels k, falling; those below the noise that is there add none.
        iterations: at each level.

    Returns:
        The exposures, m a number for each picture.

    Raises:
        InputError: without noise.
    """
    if not bool((noise > 0).all()):
        raise InputError(
            "The likelihood of an exposure needs a noise above zero; give a small one."
        )
    unit = y.flatten(1).std(1)
    theta = torch.stack([start.factor.to(y).log(), start.offset.to(y) / unit], 1)
    for level in levels:
        # y', noised to the level k = S / f.
        total = torch.maximum(level * theta[:, 0].exp(), noise.to(y))
        noised = y + expand((total**2 - noise.to(y) ** 2).clamp(min=0).sqrt(), y) * normal_like(
            y, randomness
        )
        # The maximum of its likelihood.
        step = Step(denoiser, noised, total, unit, normal_like(y, randomness).sign())
        theta = fixed_point(step, theta, iterations)
    return Exposure(theta[:, 0].exp(), unit * theta[:, 1])


@dataclass(frozen=True)
class Step:
    """One iteration of expectation maximisation on theta = (ln f, m / unit), (batch, 2). With D
    the denoiser's mean at x_t made of y',

        f <- cov(D, y') / (var(D) + tr Cov(x | x_t) / d),     m <- mean(y') - f mean(D).

    Without the trace, f would come out too large by what the denoiser smooths away.

    Args:
        denoiser: the prior's.
        seen: y', the pictures with more noise, (batch, channels, *space).
        total: S, the deviation of their noise, (batch,).
        unit: the scale of m, (batch,).
        probe: random signs shaped as ``seen``, for the trace (Hutchinson 1990).
    """

    denoiser: Denoiser
    seen: Tensor
    total: Tensor
    unit: Tensor
    probe: Tensor

    def __call__(self, theta: Tensor) -> Tensor:
        factor, offset = theta[:, 0].exp(), self.unit * theta[:, 1]
        process = self.denoiser.process
        # x_t = alpha (y' - m) / f at the time of noise level S / f.
        t = process.t_of_noise_level((self.total / factor).double()).clamp(max=1.0)
        x_t = (
            expand(process.alpha(t), self.seen)
            * (self.seen - expand(offset, self.seen))
            / expand(factor, self.seen)
        )
        # E-step: the mean, and the trace of the covariance by Hutchinson's estimator.
        mean, covariance = self.denoiser.with_covariance(x_t, t)
        within = mean_per_sample(self.probe * covariance(self.probe))
        # M-step: regression of y' on x, f within a factor of 2 of the last.
        mean_x, mean_y = mean_per_sample(mean), mean_per_sample(self.seen)
        spread = mean_per_sample(mean**2) - mean_x**2 + within
        new = (mean_per_sample(mean * self.seen) - mean_x * mean_y) / spread.clamp(
            min=torch.finfo(mean.dtype).tiny
        )
        new = torch.minimum(torch.maximum(new, factor / 2), 2 * factor)
        return torch.stack([new.log(), (mean_y - new * mean_x) / self.unit], 1)


def fixed_point(step: Callable[[Tensor], Tensor], theta: Tensor, iterations: int) -> Tensor:
    """Solves step(theta) = theta by Broyden's method (1965), each sample by itself: plain steps
    whose Jacobian is learned on the way.

    Args:
        step: the map, (batch, n) to (batch, n).
        theta: the start, (batch, n).
        iterations: calls of ``step`` at most, after the first.

    Returns:
        theta, (batch, n).
    """
    eye = torch.eye(theta.shape[1], dtype=theta.dtype, device=theta.device)
    inverse = -eye.expand(len(theta), *eye.shape)  # of the Jacobian of step(theta) - theta
    rest, enough = step(theta) - theta, 0.1 * torch.finfo(theta.dtype).eps ** 0.5
    for _ in range(iterations):
        active = rest.abs().amax(1) > enough
        if not bool(active.any()):
            break
        # Quasi-Newton step.
        move = -_times(inverse, rest)
        # A plain step raises the likelihood, so this one must point the same way; at most MOST.
        move = torch.where(((move * rest).sum(1) > 0)[:, None], move, rest)
        move = move * (MOST / move.abs().amax(1, keepdim=True).clamp(min=MOST))
        theta = theta + active[:, None] * move
        last_rest, rest = rest, step(theta) - theta
        # Broyden's rank-one update of the inverse (Sherman-Morrison).
        image = _times(inverse, rest - last_rest)
        along = (move[:, None] @ inverse)[:, 0]
        size = (along * (rest - last_rest)).sum(1)
        update = (
            (move - image)[..., None]
            * along[:, None]
            / torch.where(size.abs() > enough**2, size, 1.0)[:, None, None]
        )
        inverse = inverse + (active & (size.abs() > enough**2))[:, None, None] * update
    return theta


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]
