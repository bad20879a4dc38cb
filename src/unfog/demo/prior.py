"""What the shipped prior knows: noise as a strip, a sample forming, new slices beside the nearest
training slice.
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
    """States along a process at noise ``levels``: ``states`` and, on the way back, ``estimates`` of
    x_0, each (n, 1, rows, columns).
    """

    levels: Sequence[float]
    states: Tensor
    estimates: Tensor | None = None


@dataclass(frozen=True)
class Drawn:
    """New slices, the training slice nearest to each, distances (root mean square) to it, and the
    like ``between`` training slices.
    """

    samples: Tensor
    nearest: Tensor
    distances: Tensor
    between: float


def forward_strip(run: Run, x: Tensor, seed: int = 0) -> Strip:
    """One slice (1, channels, rows, columns), natural units, at growing noise."""
    clean, process = run.codec.encode(x), run.denoiser.process
    noise = normal_like(clean, generator(seed, "forward"))
    times = torch.stack(
        [
            process.t_of_noise_level(torch.tensor(level))
            if level
            else torch.zeros((), dtype=torch.float64)
            for level in LEVELS
        ]
    )
    alpha, sigma = process.alpha(times), process.sigma(times)
    states = expand(alpha, x) * clean + expand(sigma, x) * noise
    return Strip(LEVELS, _shown(run, states, alpha, sigma))


def reverse_strip(run: Run, plan: Plan, seed: int = 0, count: int = 8) -> Strip:
    """The sample with id 0 on its way from noise, and what the model takes x_0 to be at each of
    ``count`` moments.
    """
    process, randomness = run.denoiser.process, generators(seed, [0])
    x = normal((1, *run.shape), randomness) * process.sigma(plan.grid[0]).float()
    wanted = set(torch.linspace(0, len(plan.grid) - 1, count).round().int().tolist())
    states = [
        s
        for k, s in enumerate(
            trajectory(run.denoiser, x, plan.grid, plan.sampler, randomness=randomness)
        )
        if k in wanted
    ]
    times = torch.tensor([s.t for s in states], dtype=torch.float64)
    path, alpha, sigma = (
        torch.cat([s.x for s in states]),
        process.alpha(times),
        process.sigma(times),
    )
    with torch.no_grad():
        estimates = torch.cat([run.denoiser(path[:-1], times[:-1]).mean, path[-1:]])
    return Strip(
        (sigma / alpha).tolist(), _shown(run, path, alpha, sigma), run.codec.decode(estimates)
    )


def _shown(run: Run, states: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """States over their own scale, sqrt(alpha^2 + sigma^2), so that noise of every strength can be
    seen.
    """
    return run.codec.decode(states / expand((alpha**2 + sigma**2).sqrt(), states))


def draw_new(
    run: Run, plan: Plan, count: int, training: Dataset, seed: int, report: Report
) -> Drawn:
    """``count`` new slices, compared with every training slice."""
    samples = draw(run, plan, range(count), seed, report=report)
    known = training.batch(range(len(training)))["x"]
    size = float(known[0].numel() ** 0.5)
    distances, index = (torch.cdist(samples.flatten(1), known.flatten(1)) / size).min(1)
    others = torch.cdist(known.flatten(1), known.flatten(1)).fill_diagonal_(torch.inf) / size
    return Drawn(samples, known[index], distances, float(others.min(1).values.mean()))
