r"""The likeliest exposure of a dark picture: y = f x + m + s e has a likelihood in f and m that a
diffusion prior knows exactly.

Given f and m a picture with more white noise, y' of deviation S, is x_t itself, so that

    p(y' | f, m) = f^-d p_k((y' - m) / f),     k = S / f the noise level,

and its maximum is found by expectation maximisation (Dempster, Laird & Rubin 1977), whose two
moments are the denoiser's mean D and the trace of its covariance:

    f <- cov(D, y') / (var(D) + tr Cov(x | x_t) / d),     m <- mean(y') - f mean(D).

Its slow convergence is mended by Broyden's method (1965), and wrong starts by taking the noise down
in levels. Without the trace, f would come out too large by what the denoiser smooths away.
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

# of k: the first sees the whole of the picture alone, the last is finer than most of its contrasts
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
    """f and m of each picture y (batch, channels, *space) from ``start`` (m a number), ``noise``
    (batch,) the deviation s.

    A network call and a product with its Jacobian an iteration; ``levels`` below the noise that is
    there add none.
    """
    if not bool((noise > 0).all()):
        raise InputError(
            "The likelihood of an exposure needs a noise above zero; give a small one."
        )
    unit = y.flatten(1).std(1)
    theta = torch.stack([start.factor.to(y).log(), start.offset.to(y) / unit], 1)
    for level in levels:
        total = torch.maximum(level * theta[:, 0].exp(), noise.to(y))
        seen = y + expand((total**2 - noise.to(y) ** 2).clamp(min=0).sqrt(), y) * normal_like(
            y, randomness
        )
        step = Step(denoiser, seen, total, unit, normal_like(y, randomness).sign())
        theta = fixed_point(step, theta, iterations)
    return Exposure(theta[:, 0].exp(), unit * theta[:, 1])


@dataclass(frozen=True)
class Step:
    """One step of expectation maximisation on theta = (ln f, m / unit), (batch, 2), for the picture
    ``seen`` with noise ``total``.
    """

    denoiser: Denoiser
    seen: Tensor
    total: Tensor
    unit: Tensor
    probe: Tensor  # of signs, for the trace (Hutchinson 1990)

    def __call__(self, theta: Tensor) -> Tensor:
        factor, offset = theta[:, 0].exp(), self.unit * theta[:, 1]
        process = self.denoiser.process
        t = process.t_of_noise_level((self.total / factor).double()).clamp(max=1.0)
        x_t = (
            expand(process.alpha(t), self.seen)
            * (self.seen - expand(offset, self.seen))
            / expand(factor, self.seen)
        )
        mean, covariance = self.denoiser.with_covariance(x_t, t)
        within = mean_per_sample(self.probe * covariance(self.probe))
        mean_x, mean_y = mean_per_sample(mean), mean_per_sample(self.seen)
        spread = mean_per_sample(mean**2) - mean_x**2 + within
        new = (mean_per_sample(mean * self.seen) - mean_x * mean_y) / spread.clamp(
            min=torch.finfo(mean.dtype).tiny
        )
        new = torch.minimum(torch.maximum(new, factor / 2), 2 * factor)
        return torch.stack([new.log(), (mean_y - new * mean_x) / self.unit], 1)


def fixed_point(step: Callable[[Tensor], Tensor], theta: Tensor, iterations: int) -> Tensor:
    """theta (batch, n) with step(theta) = theta: plain steps whose Jacobian is learned on the way,
    each sample by itself.
    """
    eye = torch.eye(theta.shape[1], dtype=theta.dtype, device=theta.device)
    inverse = -eye.expand(len(theta), *eye.shape)  # of the Jacobian of step(theta) - theta
    rest, enough = step(theta) - theta, 0.1 * torch.finfo(theta.dtype).eps ** 0.5
    for _ in range(iterations):
        going = rest.abs().amax(1) > enough
        if not bool(going.any()):
            break
        move = -_times(inverse, rest)
        move = torch.where(
            ((move * rest).sum(1) > 0)[:, None], move, rest
        )  # a plain step goes up; so must this one
        move = move * (MOST / move.abs().amax(1, keepdim=True).clamp(min=MOST))
        theta = theta + going[:, None] * move
        before, rest = rest, step(theta) - theta
        image = _times(inverse, rest - before)
        along = (move[:, None] @ inverse)[:, 0]
        size = (along * (rest - before)).sum(1)
        learned = (
            (move - image)[..., None]
            * along[:, None]
            / torch.where(size.abs() > enough**2, size, 1.0)[:, None, None]
        )
        inverse = inverse + (going & (size.abs() > enough**2))[:, None, None] * learned
    return theta


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]
