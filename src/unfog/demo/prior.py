"""The demo's pictures of the shipped prior: a slice at growing noise, a sample on its way from
noise, and new slices beside the training slices nearest to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.random import generator, generators, normal, normal_like
from unfog.core.shapes import expand
from unfog.data.dataset import Dataset
from unfog.progress import Report
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.sampling.loop import trajectory

LEVELS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 20.0)  # sigma / alpha


@dataclass(frozen=True)
class Strip:
    """States along a diffusion process.

    Args:
        levels: Their noise levels sigma / alpha, (n,).
        states: (n, 1, rows, columns), over their own scale (``_shown``).
        estimates: The posterior mean of x_0 at each, of the same shape; only of the reverse
            process.
    """

    levels: Sequence[float]
    states: Tensor
    estimates: Tensor | None = None


@dataclass(frozen=True)
class Drawn:
    """New slices, compared with the training slices.

    Args:
        samples: (n, 1, rows, columns).
        nearest: The training slice nearest to each, of the same shape.
        distances: The root mean square difference of the two, (n,).
        between: The mean of the like distance between a training slice and the one nearest to it.
    """

    samples: Tensor
    nearest: Tensor
    distances: Tensor
    between: float


def forward_strip(run: Run, x: Tensor, seed: int = 0) -> Strip:
    """One slice with growing noise, x_t = alpha x_0 + sigma noise, at each of ``LEVELS``.

    Args:
        run: The prior.
        x: The slice, (1, channels, rows, columns), in natural units.
        seed: Of the noise, the same at every level.

    Returns:
        The states.
    """
    clean, process = run.codec.encode(x), run.denoiser.process
    noise = normal_like(clean, generator(seed, "forward"))
    clean_time = torch.zeros((), dtype=torch.float64)
    times = torch.stack(
        [process.t_of_noise_level(torch.tensor(s)) if s else clean_time for s in LEVELS]
    )
    alpha, sigma = process.alpha(times), process.sigma(times)
    states = expand(alpha, x) * clean + expand(sigma, x) * noise
    return Strip(LEVELS, _shown(run, states, alpha, sigma))


def reverse_strip(run: Run, plan: Plan, seed: int = 0, count: int = 8) -> Strip:
    """One sample on its way from noise, with the posterior mean of x_0 at each moment.

    Args:
        run: The prior.
        plan: Sampler and times.
        seed: Of the sample, which is the one numbered 0.
        count: The number of moments.

    Returns:
        The states and estimates.
    """
    process, randomness = run.denoiser.process, generators(seed, [0])
    # The states at evenly spaced times of the grid.
    x = normal((1, *run.shape), randomness) * process.sigma(plan.grid[0]).float()
    moments = set(torch.linspace(0, len(plan.grid) - 1, count).round().int().tolist())
    path = trajectory(run.denoiser, x, plan.grid, plan.sampler, randomness=randomness)
    states = [state for k, state in enumerate(path) if k in moments]
    x = torch.cat([state.x for state in states])
    times = torch.tensor([state.t for state in states], dtype=torch.float64)
    alpha, sigma = process.alpha(times), process.sigma(times)
    # The posterior mean at each; the last state is x_0 itself.
    with torch.no_grad():
        estimates = torch.cat([run.denoiser(x[:-1], times[:-1]).mean, x[-1:]])
    levels = (sigma / alpha).tolist()
    return Strip(levels, _shown(run, x, alpha, sigma), run.codec.decode(estimates))


def _shown(run: Run, states: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """States over their own scale, sqrt(alpha^2 + sigma^2), so that noise of every strength can be
    seen.
    """
    return run.codec.decode(states / expand((alpha**2 + sigma**2).sqrt(), states))


def draw_new(
    run: Run, plan: Plan, count: int, training: Dataset, seed: int, report: Report
) -> Drawn:
    """Draw new slices, and compare each with every training slice.

    Args:
        run: The prior.
        plan: Sampler and times.
        count: The number of new slices.
        training: The data the prior was trained on.
        seed: Of the samples.
        report: Called with (steps done, steps in all).

    Returns:
        The slices and their distances.
    """
    samples = draw(run, plan, range(count), seed, report=report)
    slices = training.batch(range(len(training)))["x"]
    # Root mean square differences: Euclidean distances over the square root of the pixels.
    size = float(slices[0].numel() ** 0.5)
    distances, index = (torch.cdist(samples.flatten(1), slices.flatten(1)) / size).min(1)
    others = torch.cdist(slices.flatten(1), slices.flatten(1)).fill_diagonal_(torch.inf) / size
    return Drawn(samples, slices[index], distances, float(others.min(1).values.mean()))
