"""Draw samples from a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generators, normal
from unfog.core.seamless import Seamless
from unfog.errors import InputError
from unfog.guidance.classifier_free import ClassifierFree
from unfog.progress import Report
from unfog.runs import calibrate as solvers
from unfog.runs.build import drops
from unfog.runs.run import Run
from unfog.sampling.grids import grids
from unfog.sampling.loop import Sampler, solve
from unfog.sampling.samplers import samplers


@dataclass(frozen=True)
class Plan:
    """How to sample: a sampler and its grid of times."""

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
        """The run's own sampling section, with what is given in its place; ``auto`` and
        ``calibrated`` as in ``runs.calibrate``.
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
            return cls(
                solver,
                solver.times,
                {"sampler": sampler, "steps": solver.calls, "grid": "calibrated"},
            )
        names: dict[str, Any] = {
            "sampler": sampler or section["sampler"],
            "steps": steps or section["steps"],
            "grid": grid or section["grid"],
        }
        times = grids.build(names["grid"])(run.denoiser.process, names["steps"])
        return cls(samplers.build(names["sampler"]), times, names)


def draw(
    run: Run,
    plan: Plan,
    ids: Sequence[int],
    seed: int = 0,
    *,
    condition: Mapping[str, Tensor] | None = None,
    guidance: float | None = None,
    seamless: bool = False,
    batch: int = 16,
    shape: Sequence[int] | None = None,
    report: Report | None = None,
) -> Tensor:
    """Samples with these ids, (len(ids), channels, *space) in natural units; each depends on
    ``seed`` and its id alone.
    """
    bordered = run.denoiser if guidance is None else guided(run, guidance)
    denoiser = Seamless(bordered) if seamless else bordered
    chunks, total = [], -(-len(ids) // batch) * (len(plan.grid) - 1)
    for start in range(0, len(ids), batch):
        some = list(ids[start : start + batch])
        chosen = {name: value[start : start + batch] for name, value in (condition or {}).items()}
        done = start // batch * (len(plan.grid) - 1)
        told = None if report is None else (lambda k, _, done=done: report(done + k, total))
        chunks.append(
            run_plan(
                denoiser,
                plan,
                generators(seed, some),
                shape or run.shape,
                condition=chosen,
                report=told,
            )
        )
    return run.codec.decode(torch.cat(chunks))


def guided(run: Run, scale: float) -> Denoiser:
    """The run's denoiser with classifier-free guidance; ``InputError`` where it was trained without
    a null.
    """
    if scale != 1 and not any(drops(run.config).values()):
        raise InputError(
            f"Guidance needs a model that knows its null, and {run.name} was trained without one "
            "(drop: 0); take guidance 1."
        )
    return ClassifierFree(run.denoiser, scale)


def run_plan(
    denoiser: Denoiser,
    plan: Plan,
    randomness: Sequence[torch.Generator],
    shape: Sequence[int],
    *,
    condition: Mapping[str, Tensor] | None = None,
    report: Report | None = None,
) -> Tensor:
    """One batch on the model's scale, a sample a generator."""
    x = normal((len(randomness), *shape), randomness) * denoiser.process.sigma(plan.grid[0]).float()
    return solve(
        denoiser,
        x,
        plan.grid,
        plan.sampler,
        randomness=randomness,
        condition=condition,
        report=report,
    )
