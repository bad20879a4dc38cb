"""``unfog evaluate --posterior``: whether a posterior sampler draws from the posterior."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.builtin import open_run
from unfog.core.random import generator
from unfog.errors import InputError
from unfog.evaluation.posterior_calibration import LEAST
from unfog.files.folder import Job, job
from unfog.files.formats import read_scan
from unfog.files.output import write_json
from unfog.physics.linear import Operator
from unfog.physics.operators import Mask
from unfog.posterior.methods import AUTO, methods
from unfog.runs.posterior_check import Setting, check_posterior
from unfog.runs.restore import GRID
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.workflows.evaluate_posterior_report import page
from unfog.workflows.judged import data_against, require_shape
from unfog.workflows.operator_file import read_operator_of
from unfog.workflows.oracles import Oracle, is_oracle, oracle_run
from unfog.workflows.tasks import Options, Task, function, task_named

FIGURES = "figures.json"
TRUTHS, DRAWS = 100, 19


@dataclass(frozen=True)
class Check:
    """How a posterior is checked.

    Args:
        noise: The deviation of the measurement's noise, in the data's units.
        truths: How many truths are measured.
        draws: Of each; one more should have many divisors.
        method: A posterior method by name, or "auto".
        sampler: Of the posterior; the run's own by default.
        steps: Its steps.
        seed: Of truths, noise and draws.
        against: Data that truths are taken from; the prior's own samples by default.
        precision: Of a run's network.
        options: Of the task.
    """

    noise: float
    truths: int = TRUTHS
    draws: int = DRAWS
    method: str = AUTO
    sampler: str | None = None
    steps: int | None = None
    seed: int = 0
    against: str | None = None
    precision: str = "auto"
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        if not self.noise > 0:
            raise InputError(f"The noise of a measurement is above 0, not {self.noise}.")
        if self.truths < LEAST or self.draws < 2:
            raise InputError(
                f"A posterior is judged by {LEAST} truths and 2 draws of each or more, got "
                f"{self.truths} and {self.draws}."
            )
        if self.method != AUTO:
            methods.get(self.method)


def evaluate_posterior(source: Path, out: Path, task: str, check: Check) -> dict[str, Any]:
    """Check a posterior sampler, into a new folder with figures.json and report.html.

    Args:
        source: A run, a shipped prior's name, or an oracle's such as "oracle:gaussian".
        out: The new folder.
        task: What the measurement does, a task of ``unfog restore`` with a known operator.
        check: Noise, truths, draws and method.

    Returns:
        The summary: tests of ranks, coverage, and the kernel Stein discrepancy.

    Raises:
        InputError: The task's operator is not known or does not fit, or there are too few truths.
    """
    row = task_named(task)
    with job(out) as work:
        run, oracle = _opened(source, check)
        operator = operator_of(run, row, check.options)
        truth = _truths(run, oracle, check, source, work)
        method, sampler, steps = row.chosen(check.method, check.sampler, check.steps)
        plan = Plan.of(run, sampler, steps, GRID)
        setting = Setting(operator, check.noise, plan, method, check.draws, check.seed)
        found, drawn = check_posterior(run, truth, setting, work.progress("drawing"))
        summary = {
            "posterior of": str(source),
            "truths from": check.against or "the prior",
            "task": task,
            "noise": check.noise,
            "method": method,
            **plan.names,
            "seed": check.seed,
            "precision": run.precision,
            **found.plain(),
        }
        write_json(work.folder / FIGURES, summary)
        work.write_report(page(summary, found, drawn).html())
        told = ("rank tests", "coverage curve")  # in the file
        return work.end({k: v for k, v in summary.items() if k not in told})


def operator_of(run: Run, task: Task, options: Options) -> Operator:
    """The operator of a task on a run's samples: the table's, that of a file of operators, or a
    mask's.

    Args:
        run: Gives the shape of samples.
        task: Its row.
        options: What it needs.

    Returns:
        A.

    Raises:
        InputError: The task has no operator that is known, or one that does not fit the run.
    """
    if task.needs == "operator" and options.operator is not None:
        return read_operator_of(options.operator, run.shape)
    if task.name == "inpaint" and options.mask is not None:
        hole = torch.from_numpy(read_scan(options.mask, len(run.shape) - 1, None).values)
        if hole.shape[1] not in (1, run.shape[0]) or hole.shape[2:] != run.shape[1:]:
            raise InputError(
                f"{options.mask.name} is of {tuple(hole.shape[1:])} and a sample of {run.name} of "
                f"{run.shape}; make the mask on its grid."
            )
        return Mask(hole[:1] == 0)
    if task.needs in ("operator", "mask"):
        raise InputError(f"To check {task.name}, give --{task.needs}.")
    if task.operator is None:
        raise InputError(
            f"The operator of {task.name} is not known beforehand, so its posterior cannot be "
            "checked; take another task."
        )
    operator: Operator = function(task.operator)(run, options)
    return operator


def _opened(source: Path, check: Check) -> tuple[Run, Oracle | None]:
    """The prior, and the oracle that it is."""
    if not is_oracle(source):
        return open_run(source, check.precision), None
    if check.against is not None:
        raise InputError(f"{source} draws its own truths; leave out --against.")
    return oracle_run(source)


def _truths(run: Run, oracle: Oracle | None, check: Check, source: Path, work: Job) -> Tensor:
    """Truths in natural units, (n, channels, *space): samples of the prior, or data."""
    if oracle is not None:
        x = oracle.draw(check.truths, generator(check.seed, "truths"))
        return x[:, None].float()
    if check.against is None:
        report = work.progress("sampling truths")
        return draw(run, Plan.of(run), range(check.truths), check.seed, batch=64, report=report)
    dataset = data_against(source, check.against)
    require_shape(str(source), run.shape, dataset)
    if len(dataset) < check.truths:
        raise InputError(f"{dataset.name} holds {len(dataset)} samples, fewer than {check.truths}.")
    order = torch.randperm(len(dataset), generator=generator(check.seed, "truths"))
    x = dataset.batch(order[: check.truths])["x"]
    return x
