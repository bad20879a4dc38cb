r"""SDEdit: edits by noising part of the way and denoising (Meng et al. 2022)."""

from __future__ import annotations

from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.progress import Report
from unfog.sampling.grids import check_grid
from unfog.sampling.loop import Condition, Sampler, solve


def last_share(grid: Tensor, strength: float) -> Tensor:
    """The last times of a grid, with the share ``strength`` of its steps; at 0 its end alone."""
    times = check_grid(grid)
    if not 0 <= strength <= 1:
        raise InputError(f"The strength of an edit is a share from 0 to 1, got {strength}.")
    return times[len(times) - 1 - round(strength * (len(times) - 1)) :]


def sdedit(
    denoiser: Denoiser,
    x: Tensor,
    grid: Tensor,
    sampler: Sampler,
    strength: float,
    *,
    randomness: Randomness,
    condition: Condition | None = None,
    report: Report | None = None,
) -> Tensor:
    """SDEdit (Meng et al. 2022): a picture is noised part of the way, and what is likely there is
    drawn on the way back,

        x_t = alpha(t) x + sigma(t) z,     x' ~ p(x_0 | x_t).

    So x' is a draw from the posterior given x with white noise of deviation sigma / alpha.

    Args:
        denoiser: the model.
        x: the picture, (batch, channels, *space).
        grid: times from noise to clean data, (steps + 1,).
        sampler: of the way back.
        strength: share of the grid's steps that are gone: at 0 the picture comes back as it is, at
            1 only alpha(t_max) x is left of it, and x' is drawn from the prior.
        randomness: a generator, or one a sample.
        condition: what the picture is edited into.
        report: called with every step.

    Returns:
        x', (batch, channels, *space).

    Raises:
        InputError: for a strength outside [0, 1].
    """
    times = last_share(grid, strength)
    if len(times) < 2:
        return x
    alpha, sigma = (expand(scale, x) for scale in denoiser.scales(times[0]))
    x_t = alpha * x + sigma * normal_like(x, randomness)
    return solve(
        denoiser, x_t, times, sampler, randomness=randomness, condition=condition, report=report
    )
