"""Edits of images by a run: SDEdit (Meng et al. 2022; ``sampling.sdedit``) and DDIM inversion
(``sampling.inversion``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.named_class import number_of
from unfog.core.random import generator
from unfog.errors import InputError
from unfog.physics.operators import Mask
from unfog.posterior.projection import Projection
from unfog.progress import Report
from unfog.runs.batches import Job, in_batches
from unfog.runs.memory import Budget
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.properties import asked_properties, known_properties
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.runs.text_states import NAME as TEXT
from unfog.sampling.inversion import invert_and_edit
from unfog.sampling.loop import Sampler
from unfog.sampling.sdedit import last_share, sdedit
from unfog.systems.registry import Config

Conditions = Mapping[str, Tensor]  # a batch of one each, by name
BATCH = 16


def edit_plan(run: Run, sampler: str | None, steps: int | None, strength: float) -> Plan:
    """The sampler and times of an edit.

    Args:
        run: The model.
        sampler: A sampler by name; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        strength: The share of the steps that are gone back, from 0 to 1.

    Returns:
        The plan of all steps, of which an edit makes the last share.

    Raises:
        InputError: The sampler is a calibrated solver, or the strength is not between 0 and 1.
    """
    plan = Plan.of(run, sampler, steps)
    if plan.names["grid"] == "calibrated":
        raise InputError(
            "A calibrated solver goes its whole grid and an edit a part of one; take another "
            "sampler, such as ddim."
        )
    last_share(plan.grid, strength)  # refuses a strength before anything is done
    return plan


def draw_edits(
    editor: Denoiser,
    x: Tensor,
    plan: Plan,
    *,
    strength: float,
    condition: Conditions,
    keep: Mask | None = None,
    samples: int = 4,
    seed: int = 0,
    report: Report | None = None,
) -> Tensor:
    """SDEdit (Meng et al. 2022): noise the images part of the way, and sample from there.

    Args:
        editor: The denoiser, with guidance if any.
        x: Images on the model's scale, (images, channels, *space).
        plan: Sampler and times.
        strength: The share of the steps that are gone back.
        condition: What the images are to show.
        keep: Where the images stay as they are, by a projection after each step.
        samples: Edits of each image.
        seed: Edit k of image i depends on (seed, i, k) alone.
        report: Told (steps done, steps in all).

    Returns:
        Edits on the model's scale, (images, samples, channels, *space).
    """

    def draw_some(jobs: list[Job], budget: Budget, report: Report) -> Tensor:
        rows = [i for i, _ in jobs]
        sampler: Sampler = plan.sampler
        if keep is not None:
            sampler = Projection(plan.sampler, keep, keep(x[rows]))
        return sdedit(
            budget.prior(editor),
            x[rows],
            plan.grid,
            sampler,
            strength,
            randomness=[generator(seed, "edit", i, k) for i, k in jobs],
            condition=_expanded(condition, len(rows)),
            report=report,
        )

    jobs = [(i, k) for i in range(len(x)) for k in range(samples)]
    drawn = in_batches(jobs, draw_some, tuple(x.shape[2:]), BATCH, report)
    return drawn.reshape(len(x), samples, *x.shape[1:])


def invert_and_redraw(
    denoiser: Denoiser,
    editor: Denoiser,
    x: Tensor,
    plan: Plan,
    *,
    strength: float,
    shown: Conditions,
    condition: Conditions,
    iterations: int = 5,
    report: Report | None = None,
) -> Tensor:
    """DDIM inversion (Song, Meng & Ermon 2021): find the noise from which DDIM leads to the images
    under the conditions they show, and sample from it under the conditions they are to show.

    Args:
        denoiser: The model's, for the way from the images to noise.
        editor: The denoiser for the way back, with guidance if any.
        x: Images on the model's scale, (images, channels, *space).
        plan: Its times.
        strength: The share of the steps that are gone back.
        shown: What the images show.
        condition: What they are to show.
        iterations: Calls a step on the way to noise; more are more exact.
        report: Told (steps done, steps in all).

    Returns:
        One edit each on the model's scale, (images, 1, channels, *space).
    """
    times = last_share(plan.grid, strength)
    if len(times) < 2:
        return x[:, None]

    def redraw_some(jobs: list[Job], budget: Budget, report: Report) -> Tensor:
        rows = [i for i, _ in jobs]
        return invert_and_edit(
            budget.prior(denoiser),
            x[rows],
            times,
            source=_expanded(shown, len(rows)),
            target=_expanded(condition, len(rows)),
            editor=budget.prior(editor),
            iterations=iterations,
            report=report,
        )

    jobs = [(i, 0) for i in range(len(x))]
    return in_batches(jobs, redraw_some, tuple(x.shape[2:]), BATCH, report)[:, None]


def _expanded(conditions: Conditions, count: int) -> dict[str, Tensor]:
    """Conditions of a batch of one as those of a batch of ``count``."""
    return {name: value.expand(count, *value.shape[1:]) for name, value in conditions.items()}


def stated_conditions(run: Run, texts: Sequence[str]) -> dict[str, Tensor]:
    """The conditions that a user states, each "name=value", as batches of one.

    The value is a class's number or name, a vector's numbers with commas between them, a property's
    number, or a prompt; ``InputError`` for any other.
    """
    parts = {
        name: part
        for name, part in (run.config.get("conditions") or {}).items()
        if part["name"] in ("class", "named-class", "vector")
    }
    properties = [text for text in texts if text.partition("=")[0] in known_properties(run)]
    conditions = asked_properties(run, ",".join(properties)) if properties else {}
    for text in texts:
        name, _, value = text.partition("=")
        if text in properties:
            continue
        if name == TEXT and TEXT in run.config:
            conditions |= text_condition(run, [Prompt.plain(value)])
            continue
        if name not in parts:
            known = [*parts, *known_properties(run), *([TEXT] if TEXT in run.config else [])]
            raise InputError(
                f"{run.name} has no class, vector, property or text called {name!r} to edit by (it "
                f"has: {', '.join(known) or 'none'})."
            )
        if parts[name]["name"] == "named-class":
            conditions[name] = torch.tensor([number_of(parts[name], value)])
            continue
        try:
            numbers = [float(number) for number in value.split(",")]
        except ValueError as error:
            raise InputError(
                f"A condition is given as {name}=NUMBER, of a vector with commas between its "
                f"numbers, not {text!r}."
            ) from error
        conditions[name] = _condition(name, parts[name], value, numbers)
    return conditions


def _condition(name: str, part: Config, value: str, numbers: list[float]) -> Tensor:
    """The numbers as a batch of one of the class or vector that ``part`` describes."""
    if part["name"] == "class":
        if len(numbers) > 1 or numbers[0] not in range(part["count"]):
            raise InputError(f"{name} is a class from 0 to {part['count'] - 1}, not {value}.")
        return torch.tensor([int(numbers[0])])
    if len(numbers) != part["size"]:
        raise InputError(f"{name} is a vector of {part['size']} numbers, not {len(numbers)}.")
    return torch.tensor([numbers])
