r"""DDIM inversion, and edits by it (Song, Meng & Ermon 2021; Su et al. 2023)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.shapes import expand
from unfog.progress import Report
from unfog.sampling.ancestral import DDIM
from unfog.sampling.grids import check_grid, require_signal
from unfog.sampling.loop import Condition, solve


@torch.no_grad()
def invert(
    denoiser: Denoiser,
    x: Tensor,
    grid: Tensor,
    *,
    iterations: int = 1,
    condition: Condition | None = None,
) -> Tensor:
    """DDIM inversion: the noise from which DDIM draws a given sample (Song, Meng & Ermon 2021;
    exact: Pan et al. 2023).

    A DDIM step from t down to s is u_s = u_t + (k_s - k_t) noise(u_t, t), with u = x / alpha and k
    = sigma / alpha. Upwards u_t is unknown,

        u_t = u_s + (k_t - k_s) noise(u_t, t),

    and is found by fixed-point iteration from u_t = u_s. One iteration is the usual inversion, of
    order 1; more make it DDIM's exact inverse.

    Args:
        denoiser: the model.
        x: the sample at grid[-1], (batch, channels, *space).
        grid: times as DDIM comes down them, (steps + 1,).
        iterations: network calls a step.
        condition: of the denoiser.

    Returns:
        x at grid[0], (batch, channels, *space).

    Raises:
        InputError: where x at grid[0] is noise alone.
    """
    process, times = denoiser.process, check_grid(grid)
    require_signal(process, times[0], "Inversion")
    u = x / expand(process.alpha(times[-1]), x)
    for s, t in pairwise(times.flip(0)):
        # Fixed point of the DDIM step from t down to s.
        below, stride = u, expand(process.noise_level(t) - process.noise_level(s), u)
        for _ in range(iterations):
            u = below + stride * denoiser.noise(
                expand(process.alpha(t), u) * u, t, **(condition or {})
            )
    return expand(process.alpha(times[0]), u) * u


def invert_and_edit(
    denoiser: Denoiser,
    x: Tensor,
    grid: Tensor,
    *,
    source: Condition,
    target: Condition,
    editor: Denoiser | None = None,
    iterations: int = 1,
    report: Report | None = None,
) -> Tensor:
    """An edit: up by DDIM inversion under one condition, down by DDIM under another, which keeps
    what the noise has of the sample (Su et al. 2023). Where both ways are alike x comes back, to
    what the inversion lacks of exact.

    Args:
        denoiser: the model.
        x: the sample at grid[-1], (batch, channels, *space).
        grid: times as DDIM comes down them, (steps + 1,).
        source: condition of the way up.
        target: condition of the way down.
        editor: denoiser of the way down, such as a guided one; None for the same.
        iterations: network calls a step of the way up.
        report: called with every step of the way down.

    Returns:
        The edited sample at grid[-1], (batch, channels, *space).
    """
    x_t = invert(denoiser, x, grid, iterations=iterations, condition=source)
    return solve(
        editor or denoiser, x_t, grid, DDIM(), randomness=[], condition=target, report=report
    )
