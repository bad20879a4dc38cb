r"""Grids: the explicit list of times a sampler visits, from noise to clean data, its end
included.

A grid of ``steps`` steps is a decreasing float64 tensor of steps + 1 times; the next point is
always the next entry. For a discrete table of T betas the knots are k / T; ``leading``,
``linspace`` and ``trailing`` are the three spacings of Lin et al. 2024 (table 2), written as times.
They end at the knot ``end``: 0, or 1 for models whose first step of the table is never undone, as
those of Stable Diffusion 1 and 2 are sampled.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unfog.core.process import Process
from unfog.core.registry import Registry
from unfog.errors import InputError

Grid = Callable[[Process, int], Tensor]
grids: Registry[Grid] = Registry("grid")


def _ended(times: Tensor, end: float = 0.0) -> Tensor:
    """The times above ``end``, and ``end``."""
    return torch.cat([times[times > end], torch.tensor([end], dtype=torch.float64)])


def _check(steps: int) -> None:
    if steps < 1:
        raise InputError(f"A grid needs at least one step, got {steps}.")


def _noisiest(process: Process, sigma_max: float | None) -> Tensor:
    """``sigma_max``, or the process's own last noise level."""
    high = (
        process.noise_level(torch.ones((), dtype=torch.float64))
        if sigma_max is None
        else torch.tensor(sigma_max, dtype=torch.float64)
    )
    if not bool(high.isfinite()):
        raise InputError(
            "This process ends in noise alone, so a grid of noise levels needs its sigma_max; or "
            "take the grid uniform."
        )
    return high


@grids.register("trailing")
def trailing(knots: int = 1000, end: int = 0) -> Grid:
    """Lin et al. 2024's "trailing": from t = 1 in equal strides, each rounded to a knot k /
    ``knots``; it starts at the noisiest knot.
    """

    def times(process: Process, steps: int) -> Tensor:
        _check(steps)
        index = torch.round(torch.linspace(1, 0, steps + 1, dtype=torch.float64) * knots)
        return _ended(index[:-1] / knots, end / knots)

    return times


@grids.register("leading")
def leading(knots: int = 1000, offset: int = 0, end: int = 0) -> Grid:
    """DDPM's and DDIM's original spacing, "leading" in Lin et al. 2024: strides of floor(knots /
    steps) counted from the cleanest knot.
    """

    def times(process: Process, steps: int) -> Tensor:
        _check(steps)
        index = torch.arange(steps, dtype=torch.float64).flip(0) * (knots // steps) + offset
        return _ended((index + 1) / knots, end / knots)

    return times


@grids.register("linspace")
def linspace(knots: int = 1000, end: int = 0) -> Grid:
    """Lin et al. 2024's "linspace": ``steps`` knots evenly from the noisiest to the cleanest, then
    the end.
    """

    def times(process: Process, steps: int) -> Tensor:
        _check(steps)
        index = torch.round(torch.linspace(knots - 1, 0, steps, dtype=torch.float64))
        return _ended((index + 1) / knots, end / knots)

    return times


@grids.register("uniform")
def uniform(start: float = 1.0) -> Grid:
    """Evenly spaced times from ``start`` to 0, in continuous time."""

    def times(process: Process, steps: int) -> Tensor:
        _check(steps)
        return torch.linspace(start, 0, steps + 1, dtype=torch.float64)

    return times


@grids.register("karras")
def karras(sigma_max: float | None = None, sigma_min: float = 0.002, rho: float = 7.0) -> Grid:
    """sigma / alpha spaced evenly in its rho-th root, then 0 (Karras et al. 2022, eq. 5).

    Args:
        sigma_max: highest level sigma / alpha; None for the process's own last one.
        sigma_min: lowest level ahead of 0.
        rho: 1 spaces the levels evenly; the larger, the more steps at low levels.

    Returns:
        The grid.
    """

    def times(process: Process, steps: int) -> Tensor:
        _check(steps)
        high = _noisiest(process, sigma_max)
        ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
        level = (high ** (1 / rho) * (1 - ramp) + sigma_min ** (1 / rho) * ramp) ** rho
        return _ended(process.t_of_noise_level(level).clamp(max=1.0))

    return times


@grids.register("log-snr")
def log_snr(sigma_max: float | None = None, sigma_min: float = 0.002) -> Grid:
    """log-SNR spaced evenly: the natural grid of exponential integrators (Lu et al. 2022)."""

    def times(process: Process, steps: int) -> Tensor:
        _check(steps)
        high = _noisiest(process, sigma_max)
        ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
        level = torch.exp(
            high.log() * (1 - ramp) + torch.tensor(sigma_min, dtype=torch.float64).log() * ramp
        )
        return _ended(process.t_of_noise_level(level).clamp(max=1.0))

    return times


@grids.register("angle")
def angle(scale: float = 0.5) -> Grid:
    """arctan(sigma / (alpha scale)) spaced evenly from t = 1 to 0, ``scale`` being the data's
    standard deviation (Lu & Song 2025).

    The middle lies where noise and signal are equal, whatever the process; the points of ``steps``
    are among those of 2 ``steps``.
    """
    if not scale > 0:
        raise InputError(f"The angle grid needs scale > 0, got {scale}.")

    def times(process: Process, steps: int) -> Tensor:
        _check(steps)
        start = torch.ones(1, dtype=torch.float64)
        ramp = torch.linspace(1, 0, steps + 1, dtype=torch.float64)[1:-1]
        level = scale * torch.tan(torch.atan(process.noise_level(start) / scale) * ramp)
        return _ended(torch.cat([start, process.t_of_noise_level(level).clamp(max=1.0)]))

    return times


def check_grid(grid: Tensor) -> Tensor:
    """The grid itself in float64, or ``InputError``: at least two times in [0, 1], strictly
    decreasing.
    """
    times = torch.as_tensor(grid, dtype=torch.float64)
    if (
        times.ndim != 1
        or len(times) < 2
        or not bool((times[1:] < times[:-1]).all())
        or float(times[-1]) < 0
        or float(times[0]) > 1
    ):
        raise InputError(
            "A grid is a list of at least two times that decreases strictly within [0, 1], from "
            "noise towards clean data."
        )
    return times


def require_signal(process: Process, t: Tensor, method: str) -> None:
    """Refuses a time at which x_t is noise alone, for methods that divide by alpha.

    Args:
        process: the forward process.
        t: the time, a scalar.
        method: its name in the message.

    Raises:
        InputError: where alpha(t) is 0.
    """
    if not float(process.alpha(t)) > 0:
        raise InputError(
            f"{method} cannot start from noise alone (alpha = 0); start its grid just below t = "
            f"{float(t):g}."
        )
