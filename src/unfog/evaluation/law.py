r"""The exact law of what a sampler returns where every part of it is affine: a Gaussian prior, and
guidance linear in x_t.

A step is then x_s = M x_t + N z + b with the noise z it draws, read off by solving for the three
from its answers to random x_t and z; the mean and covariance go on as M m + b and M C M* + N N*.
This is each algorithm's own output law, without the error of drawing from it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generator, normal
from unfog.errors import InputError
from unfog.sampling.grids import check_grid
from unfog.sampling.loop import Sampler

MOST_DRAWS = 1000  # of noise in one step


def affine_law(
    denoiser: Denoiser, sampler: Sampler, grid: Tensor, shape: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) of a one-step sampler's result for samples of ``shape``
    (channels, *space), float64.
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
    tape = [
        torch.cat([normal((1, *shape), g, like=x) for _ in range(draws)] or [x[:0]]).flatten()
        for g in map(_generator, range(rows))
    ]
    known = torch.cat(
        [x.flatten(1), torch.stack(tape), torch.ones(rows, 1, dtype=torch.float64)], 1
    )
    found = torch.linalg.lstsq(known, out, driver="gelsd").solution
    if not float((known @ found - out).norm()) <= 1e-6 * float(out.norm()):
        raise InputError(
            f"{type(sampler).__name__} is not affine here; its law is known by drawing only."
        )
    return found[:d].T, found[d:-1].T, found[-1]


def _generator(row: int) -> torch.Generator:
    return generator("law", row)


def _run(
    denoiser: Denoiser, sampler: Sampler, x: Tensor, t: Tensor, s: Tensor, rows: list[int]
) -> tuple[Tensor, list[torch.Generator]]:
    used = [_generator(row) for row in rows]
    with torch.no_grad():
        return sampler.step(denoiser, x, t, s, (), used, {})[0], used


def _draws(
    denoiser: Denoiser, sampler: Sampler, t: Tensor, s: Tensor, shape: tuple[int, ...]
) -> int:
    """How often a step draws noise like x: as often as a fresh generator must draw to be in the
    state of one that was used.
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
