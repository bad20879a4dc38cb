"""Low light and HDR on arrays: scenes from measurements whose exposures are unknown,

    y_i = f_i A x + m_i,      i = 1 .. the exposures of one scene.

Where A is the identity, f and m of the picture that saturates least are estimated before sampling,
by maximum likelihood under the prior (``posterior.exposure``), and those of the other pictures are
fitted to the scene that this one shows. In joint tasks, on tiles, and where even that picture is
clipped, all f and m are estimated while sampling (``posterior.gdp``), from a first guess.
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
from unfog.runs.run import Run, require_pixels
from unfog.runs.sample import Plan
from unfog.sampling.grids import grids

Start = Callable[[Tensor], Exposure]  # measurement -> first guess of its exposure
# Largest share of clipped values in a picture whose likelihood is taken as if there were none.
MOST_SATURATED = 0.02
LEAST_NOISE = 1e-3  # in units of a picture's standard deviation


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
    """Draws of scenes x given y_i = f_i A x + m_i, f_i and m_i unknown, under a run's prior.

    Args:
        run: The prior.
        measurements: One tensor an exposure of the same scenes, (images, channels', *space'), in
            any units.
        operator: A; the identity by default.
        start: Gives the first guess of an exposure, on the model's scale, from its measurement.
        samples: Draws of each image, at least 2.
        steps: Sampler steps; the run's own number by default.
        seed: The exposure of image i depends on (seed, i) alone, its draw k on (seed, i, k), not on
            the batch.
        batch: Draws at a time; fewer where memory runs out.
        report: Told (steps done, steps in all).

    Returns:
        Mean, standard deviation and samples in the run's natural units.
    """
    require_pixels(run, "an exposure", "take a run trained without --set codec.run")
    operator = operator or Identity()
    shape = tuple(operator.adjoint(measurements[0][:1]).shape[1:])
    count = int(steps or run.config["sampling"]["steps"])
    grid = grids.build(GRID)(run.denoiser.process, count)
    names = {"sampler": "gdp", "steps": count, "grid": GRID}
    # A prior for images larger than its own works in tiles.
    larger = any(n > m for n, m in zip(shape[1:], run.shape[1:], strict=True))
    prior = Tiled(run.denoiser, min(run.shape[1:])) if larger else run.denoiser
    # The exposures: of maximum likelihood and then fixed, or estimated while sampling.
    shots = shots_of(measurements, start)
    gdp = partial(BlindGDP, operator=operator)
    if not larger and len(shape) >= 3 and isinstance(operator, Identity):
        likeliest = _likeliest(prior, shots, seed, batch)
        if likeliest is not None:
            shots, gdp = likeliest, partial(BlindGDP, rate=0.0)

    def posterior(rows: list[int], budget: Budget) -> tuple[Denoiser, Plan]:
        return budget.prior(prior), Plan(gdp([shot[rows] for shot in shots]), grid, names)

    stack = draw_posterior(
        run,
        posterior,
        len(measurements[0]),
        shape,
        samples=samples,
        seed=seed,
        batch=batch,
        report=report,
    )
    return Restored(stack.mean(1), stack.std(1), stack)


def shots_of(measurements: Sequence[Tensor], start: Start = Exposure.stretching) -> list[Shot]:
    """The measurements with first guesses of their exposures. A single picture counts as not
    clipped; several count as clipped at the smallest and the largest value in all of them.
    """
    if len(measurements) == 1:
        return [Shot(y, start(y)) for y in measurements]
    low = min(float(y.min()) for y in measurements)
    high = max(float(y.max()) for y in measurements)
    return [replace(Shot.saturated(y, low, high), start=start(y)) for y in measurements]


def _likeliest(prior: Denoiser, shots: Sequence[Shot], seed: int, batch: int) -> list[Shot] | None:
    """The shots with exposures of maximum likelihood for the one that saturates least, and fitted
    to its scene for the others; None where that one saturates too.
    """
    shares = [
        float(((shot.measurement <= shot.low) | (shot.measurement >= shot.high)).float().mean())
        for shot in shots
    ]
    if min(shares) > MOST_SATURATED:
        return None
    first = shots[shares.index(min(shares))]
    y = first.measurement
    noise = estimate_sigma(y).clamp(min=LEAST_NOISE * float(y.std()))
    # The first shot's exposure, and the scene as it shows it.
    exposures, scenes = list[Exposure](), list[Tensor]()
    for rows in torch.split(torch.arange(len(y)), batch):
        randomness = generators(seed, rows.tolist(), "exposure")
        exposure = likeliest_exposure(prior, y[rows], first.start[rows], noise[rows], randomness)
        exposures.append(exposure)
        scenes.append(_scene(prior, y[rows], exposure, noise[rows]))
    factor = torch.cat([exposure.factor for exposure in exposures])
    offset = torch.cat([exposure.offset for exposure in exposures])
    scene = torch.cat(scenes)
    # The others' exposures, fitted to that scene.
    return [
        replace(shot, start=Exposure(factor, offset))
        if shot is first
        else replace(shot, start=shot.fit(scene, shot.measurement).exposure)
        for shot in shots
    ]


def _scene(prior: Denoiser, y: Tensor, exposure: Exposure, noise: Tensor) -> Tensor:
    """E[x | y] for a known exposure, by one network call: (y - m) / f is x with white noise of
    deviation noise / f, which alpha times is a state x_t.
    """
    t = prior.process.t_of_noise_level((noise / exposure.factor).double())
    x = (y - expand(exposure.offset, y)) / expand(exposure.factor, y)
    with torch.no_grad():
        mean: Tensor = prior(expand(prior.process.alpha(t), x) * x, t).mean
    return mean
