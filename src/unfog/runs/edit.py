"""Edits of arrays: SDEdit (``sampling.sdedit``) and DDIM inversion (``sampling.inversion``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generator
from unfog.errors import InputError
from unfog.physics.operators import Mask
from unfog.posterior.projection import Projection
from unfog.progress import Report, progress_line
from unfog.runs.batches import Job, in_batches
from unfog.runs.memory import Budget
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.sampling.inversion import invert_and_edit
from unfog.sampling.loop import Sampler
from unfog.sampling.sdedit import last_share, sdedit

Given = Mapping[str, Tensor]  # one value each, by the name of the condition
BATCH = 16


def _plan(run: Run, sampler: str | None, steps: int | None, strength: float) -> Plan:
    plan = Plan.of(run, sampler, steps)
    if plan.names["grid"] == "calibrated":
        raise InputError(
            "A calibrated solver goes its whole grid and an edit a part of one; take another "
            "sampler, such as ddim."
        )
    last_share(plan.grid, strength)  # refuses a strength before anything is done
    return plan


def _sdedit(
    editor: Denoiser,
    x: Tensor,
    plan: Plan,
    keep: Mask | None,
    wanted: Given,
    samples: int,
    seed: int,
    strength: float,
) -> Tensor:
    """(images, samples, channels, *space); what is kept is projected onto after each step."""

    def some(chosen: list[Job], budget: Budget, tell: Report) -> Tensor:
        rows = [i for i, _ in chosen]
        sampler: Sampler = (
            plan.sampler if keep is None else Projection(plan.sampler, keep, keep(x[rows]))
        )
        randomness = [generator(seed, "edit", i, k) for i, k in chosen]
        condition = _expanded(wanted, len(rows))
        prior = budget.prior(editor)
        return sdedit(
            prior,
            x[rows],
            plan.grid,
            sampler,
            strength,
            randomness=randomness,
            condition=condition,
            report=tell,
        )

    jobs = [(i, k) for i in range(len(x)) for k in range(samples)]
    return in_batches(jobs, some, tuple(x.shape[2:]), BATCH, progress_line("editing")).reshape(
        len(x), samples, *x.shape[1:]
    )


def _inverted(
    denoiser: Denoiser,
    editor: Denoiser,
    x: Tensor,
    plan: Plan,
    shown: Given,
    wanted: Given,
    iterations: int,
    strength: float,
) -> Tensor:
    times = last_share(plan.grid, strength)
    if len(times) < 2:
        return x[:, None]

    def some(chosen: list[Job], budget: Budget, tell: Report) -> Tensor:
        rows = [i for i, _ in chosen]
        source, target = (_expanded(given, len(rows)) for given in (shown, wanted))
        down = budget.prior(editor)
        return invert_and_edit(
            budget.prior(denoiser),
            x[rows],
            times,
            source=source,
            target=target,
            editor=down,
            iterations=iterations,
            report=tell,
        )

    return in_batches(
        [(i, 0) for i in range(len(x))], some, tuple(x.shape[2:]), BATCH, progress_line("editing")
    )[:, None]


def _expanded(given: Given, count: int) -> dict[str, Tensor]:
    return {name: value.expand(count, *value.shape[1:]) for name, value in given.items()}


def told_conditions(run: Run, given: Sequence[str]) -> dict[str, Tensor]:
    """Each "name=value" as a batch of one: a class's number, or a vector's numbers with commas
    between them.
    """
    parts = {
        name: part
        for name, part in (run.config.get("conditions") or {}).items()
        if part["name"] in ("class", "vector")
    }
    found: dict[str, Tensor] = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in parts:
            raise InputError(
                f"{run.name} has no class or vector called {name!r} to edit by (it has: "
                f"{', '.join(parts) or 'none'})."
            )
        try:
            numbers = [float(one) for one in value.split(",")]
        except ValueError as error:
            raise InputError(
                f"A condition is given as {name}=NUMBER, of a vector with commas between its "
                f"numbers, not {text!r}."
            ) from error
        part = parts[name]
        if part["name"] == "class":
            if len(numbers) > 1 or numbers[0] not in range(part["count"]):
                raise InputError(f"{name} is a class from 0 to {part['count'] - 1}, not {value}.")
            found[name] = torch.tensor([int(numbers[0])])
        else:
            if len(numbers) != part["size"]:
                raise InputError(
                    f"{name} is a vector of {part['size']} numbers, not {len(numbers)}."
                )
            found[name] = torch.tensor([numbers])
    return found
