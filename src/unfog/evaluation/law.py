r"""The exact distribution of what a sampler returns where every part of it is affine."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generator, normal
from unfog.errors import InputError
from unfog.sampling.grids import check_grid
from unfog.sampling.loop import Sampler

MOST_DRAWS = 1000  # of noise in one step, before giving up


def affine_law(
    denoiser: Denoiser, sampler: Sampler, grid: Tensor, shape: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """The mean and covariance of a one-step sampler's result, for a Gaussian prior and guidance
    linear in x_t.

    A step is x_s = M x_t + N z + b with the noise z that it draws. The three are found by least
    squares from the step's answers to random x_t and z, and the mean and covariance go on as M m +
    b and M C M* + N N*. This is each algorithm's own output distribution, without the error of
    drawing from it.

    Args:
        denoiser: Of a posterior mean that is affine in x_t.
        sampler: One that keeps nothing from step to step.
        grid: Times, falling.
        shape: (channels, *space) of a sample, d numbers.

    Returns:
        Mean (d,) and covariance (d, d), float64.

    Raises:
        InputError: A step is not affine, or draws noise of another shape than x.
    """
    times = check_grid(grid)
    d, sigma = torch.Size(shape).numel(), denoiser.process.sigma(times[0])
    mean, covariance = (
        torch.zeros(d, dtype=torch.float64),
        sigma**2 * torch.eye(d, dtype=torch.float64),
    )
    for t, s in pairwise(times):
        gain, noise, constant = _step(denoiser, sampler, t, s, shape)
        mean, covariance = gain @ mean + constant, gain @ covariance @ gain.T + noise @ noise.T
    return mean, covariance


def _step(
    denoiser: Denoiser, sampler: Sampler, t: Tensor, s: Tensor, shape: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """M (d, d), N (d, draws d) and b (d,) of one step."""
    d = torch.Size(shape).numel()
    draws = _draws(denoiser, sampler, t, s, shape)
    rows = (1 + draws) * d + 3  # two to spare: a step that is not affine leaves a misfit
    x = torch.randn(rows, *shape, generator=generator("law", "x"), dtype=torch.float64)
    out = _run(denoiser, sampler, x, t, s, list(range(rows)))[0].flatten(1)
    # The noise that the step drew for each row, drawn again.
    tape = [
        torch.cat([normal((1, *shape), g, like=x) for _ in range(draws)] or [x[:0]]).flatten()
        for g in map(_generator, range(rows))
    ]
    # Least squares for x_s = [x_t, z, 1] [M, N, b]^T; the step is affine if it fits.
    inputs = torch.cat(
        [x.flatten(1), torch.stack(tape), torch.ones(rows, 1, dtype=torch.float64)], 1
    )
    solution = torch.linalg.lstsq(inputs, out, driver="gelsd").solution
    if not float((inputs @ solution - out).norm()) <= 1e-6 * float(out.norm()):
        raise InputError(
            f"{type(sampler).__name__} is not affine here; its law is known by drawing only."
        )
    return solution[:d].T, solution[d:-1].T, solution[-1]


def _generator(row: int) -> torch.Generator:
    """The generator that draws the noise of a row."""
    return generator("law", row)


def _run(
    denoiser: Denoiser, sampler: Sampler, x: Tensor, t: Tensor, s: Tensor, rows: list[int]
) -> tuple[Tensor, list[torch.Generator]]:
    """The step's answers to the rows x, and the generators it drew from."""
    used = [_generator(row) for row in rows]
    with torch.no_grad():
        return sampler.step(denoiser, x, t, s, (), used, {})[0], used


def _draws(
    denoiser: Denoiser, sampler: Sampler, t: Tensor, s: Tensor, shape: tuple[int, ...]
) -> int:
    """How many times a step draws noise shaped as x: as often as a fresh generator must draw to be
    in the state of the one that was used.
    """
    x = torch.zeros(1, *shape, dtype=torch.float64)
    (used,), fresh = _run(denoiser, sampler, x, t, s, [0])[1], _generator(0)
    for count in range(MOST_DRAWS):
        if torch.equal(used.get_state(), fresh.get_state()):
            return count
        normal(x.shape, fresh, like=x)
    raise InputError(
        f"{type(sampler).__name__} draws more than noise like x; its law cannot be read off."
    )
