"""Samples of a run (``draw``) and of any denoiser (``unfog.sample``)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generators
from unfog.core.seamless import Seamless
from unfog.core.space import PLAIN, Space
from unfog.core.torus import Offset
from unfog.errors import InputError
from unfog.guidance.preferences import Loss, LossGuided
from unfog.progress import Report
from unfog.runs import calibrate as solvers
from unfog.runs.clip import clipped
from unfog.runs.conventions import conventions
from unfog.runs.guided import Guidance, guided, prompted
from unfog.runs.run import Run
from unfog.runs.windows import in_windows, on_torus
from unfog.sampling.grids import grids
from unfog.sampling.loop import Sampler, solve
from unfog.sampling.samplers import samplers

BATCH = 16  # samples at a time


@dataclass(frozen=True)
class Plan:
    """How to sample: a sampler and its grid of times.

    Args:
        sampler: The sampler.
        grid: Falling times that end at 0, float64 (steps + 1,).
        names: What they were made of, for a summary.
    """

    sampler: Sampler
    grid: Tensor
    names: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        run: Run,
        sampler: str | Mapping[str, Any] | None = None,
        steps: int | None = None,
        grid: str | Mapping[str, Any] | None = None,
    ) -> Plan:
        """The plan of a run's own sampling section, where the arguments do not say otherwise.

        Args:
            run: The model.
            sampler: A sampler by name; "calibrated" is the run's own solver of so many calls, and
                "auto" that one where there is one (``runs.calibrate``).
            steps: Sampler steps.
            grid: A grid of times by name.

        Returns:
            The plan, with the names it was made of.

        Raises:
            InputError: A name is unknown, the run has no such solver, or a calibrated solver is
                given a grid.
        """
        section = run.config["sampling"]
        if sampler == "auto":
            sampler = solvers.automatic(run, steps or section["steps"], own_times=grid is None)
        if sampler == "calibrated":
            if grid is not None:
                raise InputError(
                    "A calibrated solver has times of its own, for samples from nothing: leave "
                    "the grid out, or take another sampler."
                )
            solver = solvers.load_solver(run, steps or section["steps"])
            summary = {"sampler": sampler, "steps": solver.calls, "grid": "calibrated"}
            return cls(solver, solver.times, summary)
        names: dict[str, Any] = {
            "sampler": sampler or section["sampler"],
            "steps": steps or section["steps"],
            "grid": grid or section["grid"],
        }
        times = grids.build(names["grid"])(run.denoiser.process, names["steps"])
        return cls(samplers.build(names["sampler"]), times, names)


@dataclass(frozen=True)
class GuidingLoss:
    """A loss that samples are drawn towards (``guidance.preferences``).

    Args:
        loss: Of estimates on the model's scale, (batch, channels, *space) -> (batch,).
        strength: What a pixel is moved by a loss of slope 1.
        below: Noise level under which they are; all by default.
    """

    loss: Loss
    strength: float
    below: float = math.inf

    def guiding(self, denoiser: Denoiser) -> Denoiser:
        """A denoiser whose estimates are moved down its slope."""
        return LossGuided(denoiser, self.loss, self.strength, self.below)


def draw(
    run: Run,
    plan: Plan,
    ids: Sequence[int],
    seed: int = 0,
    *,
    condition: Mapping[str, Tensor] | None = None,
    guidance: float | Mapping[str, float] | Guidance | None = None,
    seamless: bool = False,
    batch: int | None = None,
    shape: Sequence[int] | None = None,
    windows: bool = False,
    repeat: Offset | None = None,
    loss: GuidingLoss | None = None,
    report: Report | None = None,
) -> Tensor:
    """Samples of a run, by number.

    Args:
        run: The model.
        plan: Sampler and times.
        ids: The samples' numbers; each depends on ``seed`` and its number alone.
        seed: The seed.
        condition: What the samples show, by name, one for each; a ``"mask"`` says which of a
            sample's entries are there, where the run's space asks.
        guidance: Scale of classifier-free guidance; or one for each condition, by name; or all of
            what ``runs.guided.Guidance`` says.
        seamless: Whether samples go on at the opposite border.
        batch: Samples at a time; as the run's sampling section says, or 16, by default.
        shape: Of a sample, (channels, *space); the run's own by default. A larger volume is made
            in windows (``runs.windows``).
        windows: Whether larger pictures and signals are made in windows too.
        repeat: That samples are cells that repeat over the plane, and how these are offset
            (``core.torus.home``); None for samples with borders.
        loss: What estimates are guided down the slope of, such as a palette's distance.
        report: Told (steps done, steps in all).

    Returns:
        (len(ids), channels, *space) in natural units.

    Raises:
        InputError: A volume is smaller than those the run was trained on.
    """
    denoiser = prompted(run) if guidance is None else guided(run, guidance)
    latent = run.codec.latent_shape(shape or run.shape)
    if repeat is not None:
        denoiser = on_torus(run, denoiser, repeat)
    else:
        denoiser = in_windows(run, denoiser, latent[1:], windows)
    if seamless:
        denoiser = Seamless(denoiser)
    if loss is not None:
        denoiser = loss.guiding(denoiser)
    denoiser = clipped(denoiser, run.config["sampling"].get("clip"))
    batch = batch or run.config["sampling"].get("batch", BATCH)
    steps, batches = len(plan.grid) - 1, -(-len(ids) // batch)
    chunks = []
    for number, start in enumerate(range(0, len(ids), batch)):
        rows = slice(start, start + batch)
        part = {name: value[rows] for name, value in (condition or {}).items()}
        space = run.space.within(part.get("mask"))
        if space.mask is not None and "mask" not in run.denoiser.conditioner.parts:
            del part["mask"]  # it is no condition of the network
        states = run_plan(
            denoiser,
            plan,
            generators(seed, list(ids[rows])),
            latent,
            condition=part,
            space=space,
            report=_shifted(report, number * steps, batches * steps),
        )
        with torch.no_grad():
            chunks.append(run.codec.decode(states))
    return torch.cat(chunks)


def _shifted(report: Report | None, before: int, total: int) -> Report | None:
    """The report of one batch as a part of ``total`` steps, ``before`` of them done already."""
    return None if report is None else lambda done, _: report(before + done, total)


def run_plan(
    denoiser: Denoiser,
    plan: Plan,
    randomness: Sequence[torch.Generator],
    shape: Sequence[int],
    *,
    condition: Mapping[str, Tensor] | None = None,
    space: Space = PLAIN,
    report: Report | None = None,
) -> Tensor:
    """One batch of samples, from x = sigma(t_0) n at the grid's first time, n ~ N(0, I).

    Args:
        denoiser: The model, under guidance or given a measurement.
        plan: Sampler and times.
        randomness: A generator for each sample.
        shape: Of a sample, (channels, *space).
        condition: What the samples show, by name.
        space: Where states live.
        report: Told (steps done, steps in all).

    Returns:
        (samples, channels, *space) on the model's scale.
    """
    sigma = denoiser.process.sigma(plan.grid[0]).float()
    x = space.noise((len(randomness), *shape), randomness) * sigma
    return solve(
        denoiser,
        x,
        plan.grid,
        plan.sampler,
        randomness=randomness,
        condition=condition,
        space=space,
        report=report,
    )


def sample(
    denoiser: Denoiser,
    shape: Sequence[int],
    *,
    sampler: str | Mapping[str, Any] = "heun",
    steps: int = 18,
    grid: str | Mapping[str, Any] | None = None,
    seed: int = 0,
    condition: Mapping[str, Tensor] | None = None,
    space: Space = PLAIN,
    report: Report | None = None,
) -> Tensor:
    """Samples of any denoiser: ``unfog.sample``. Dropout is off while they are drawn.

    Args:
        denoiser: Gives E[x_0 | x_t]: ``unfog.Denoiser``, guidance or a posterior method on one.
        shape: (samples, channels, *space).
        sampler: A sampler by name, or {"name": ..., **parameters}.
        steps: Sampler steps.
        grid: A grid of times, likewise; by convention of the process.
        seed: Sample k depends on (seed, k) alone.
        condition: What the samples show, by name.
        space: Where states live.
        report: Told (steps done, steps in all).

    Returns:
        Samples of that shape, on the model's scale.

    Raises:
        InputError: The denoiser is none, or a name is unknown.
    """
    if not isinstance(denoiser, Denoiser):
        raise InputError(
            f"unfog.sample draws from a denoiser, not from a {type(denoiser).__name__}; a run "
            "draws by itself: unfog.load(NAME).sample(16)."
        )
    grid = conventions(denoiser.process).grid if grid is None else grid
    times = grids.build(grid)(denoiser.process, steps)
    plan = Plan(samplers.build(sampler), times, {})
    training = denoiser.training
    denoiser.eval()
    try:
        return run_plan(
            denoiser,
            plan,
            generators(seed, range(shape[0])),
            shape[1:],
            condition=condition,
            space=space,
            report=report,
        )
    finally:
        denoiser.train(training)
