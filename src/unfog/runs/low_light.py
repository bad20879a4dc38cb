"""Low light and HDR on arrays: y_i = f_i A x + m_i with f_i and m_i unknown, by GDP.

Where A is the identity, the exposure is the likeliest under the prior (``posterior.exposure``),
found before sampling on the picture that saturates least; the others are fitted to the scene as
that one shows it. In joint tasks and tiles, and where even that picture is clipped, all are
estimated while sampling (``posterior.gdp``), from a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generators
from unfog.core.shapes import expand
from unfog.core.tiles import Tiled
from unfog.physics.exposure import Exposure
from unfog.physics.linear import Operator
from unfog.physics.noise import estimate_sigma
from unfog.physics.operators import Identity
from unfog.posterior.exposure import likeliest_exposure
from unfog.posterior.gdp import BlindGDP, Shot
from unfog.progress import Report
from unfog.runs.memory import Budget
from unfog.runs.restore import GRID, Restored, draw_posterior
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.sampling.grids import grids

Start = Callable[[Tensor], Exposure]
# Of the values of a picture whose likelihood is taken as if none were clipped.
MOST_SATURATED = 0.02
LEAST_NOISE = 1e-3  # of a picture's deviation


def low_light(
    run: Run,
    measurements: Sequence[Tensor],
    operator: Operator | None = None,
    *,
    start: Start = Exposure.stretching,
    samples: int = 8,
    steps: int | None = None,
    seed: int = 0,
    batch: int = 16,
    report: Report | None = None,
) -> Restored:
    """Exposures of the same scenes, each shaped as ``operator`` (the identity) gives it and in any
    units, in the run's natural units.

    ``start`` makes the first guess of an exposure, on the model's scale, from its measurement. What
    is found for image i depends on (seed, i) alone, and its sample k on (seed, i, k), not on the
    batch.
    """
    operator = operator or Identity()
    shape, count = (
        tuple(operator.adjoint(measurements[0][:1]).shape[1:]),
        int(steps or run.config["sampling"]["steps"]),
    )
    grid, names = (
        grids.build(GRID)(run.denoiser.process, count),
        {"sampler": "gdp", "steps": count, "grid": GRID},
    )
    larger = any(n > m for n, m in zip(shape[1:], run.shape[1:], strict=True))
    prior = Tiled(run.denoiser, min(run.shape[1:])) if larger else run.denoiser
    images, shots = len(measurements[0]), shots_of(measurements, start)
    found = (
        None
        if larger or len(shape) < 3 or not isinstance(operator, Identity)
        else _likeliest(prior, shots, seed, batch)
    )
    # a maximum is not to be moved
    gdp = partial(BlindGDP, operator=operator) if found is None else partial(BlindGDP, rate=0.0)

    def posterior(rows: list[int], budget: Budget) -> tuple[Denoiser, Plan]:
        return budget.prior(prior), Plan(gdp([shot[rows] for shot in found or shots]), grid, names)

    stack = draw_posterior(
        run, posterior, images, shape, samples=samples, seed=seed, batch=batch, report=report
    )
    return Restored(stack.mean(1), stack.std(1), stack)


def shots_of(measurements: Sequence[Tensor], start: Start = Exposure.stretching) -> list[Shot]:
    """One dark picture, which does not saturate, or several that do at the ends of what is in all
    of them.
    """
    if len(measurements) == 1:
        return [Shot(y, start(y)) for y in measurements]
    low, high = min(float(y.min()) for y in measurements), max(float(y.max()) for y in measurements)
    return [replace(Shot.saturated(y, low, high), start=start(y)) for y in measurements]


def _likeliest(prior: Denoiser, shots: Sequence[Shot], seed: int, batch: int) -> list[Shot] | None:
    """The shots with the exposures that the one that saturates least makes likely; None where that
    one saturates too.
    """
    shares = [
        float(((shot.measurement <= shot.low) | (shot.measurement >= shot.high)).float().mean())
        for shot in shots
    ]
    if min(shares) > MOST_SATURATED:
        return None
    first = shots[shares.index(min(shares))]
    y, noise, parts = (
        first.measurement,
        estimate_sigma(first.measurement),
        list[tuple[Exposure, Tensor]](),
    )
    noise = noise.clamp(min=LEAST_NOISE * float(y.std()))
    for rows in torch.split(torch.arange(len(y)), batch):
        exposure = likeliest_exposure(
            prior,
            y[rows],
            first.start[rows],
            noise[rows],
            generators(seed, rows.tolist(), "exposure"),
        )
        parts.append((exposure, _scene(prior, y[rows], exposure, noise[rows])))
    exposure = Exposure(
        torch.cat([e.factor for e, _ in parts]), torch.cat([e.offset for e, _ in parts])
    )
    scene = torch.cat([x for _, x in parts])
    return [
        replace(
            shot, start=exposure if shot is first else shot.fit(scene, shot.measurement).exposure
        )
        for shot in shots
    ]


def _scene(prior: Denoiser, y: Tensor, exposure: Exposure, noise: Tensor) -> Tensor:
    """E[x | y] for a known exposure: one call, since (y - m) / f is x with white noise."""
    t = prior.process.t_of_noise_level((noise / exposure.factor).double())
    x = (y - expand(exposure.offset, y)) / expand(exposure.factor, y)
    with torch.no_grad():
        mean: Tensor = prior(expand(prior.process.alpha(t), x) * x, t).mean
    return mean
