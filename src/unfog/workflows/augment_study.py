"""``unfog augment-study``: whether pictures that a run draws help a task with few labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from unfog.builtin import open_run
from unfog.data.dataset import Dataset, open_dataset
from unfog.errors import InputError
from unfog.evaluation.classical_augmentation import ClassicalAugmentation
from unfog.evaluation.downstream import TASKS, Downstream, Segmentation, task_of
from unfog.files import json_text
from unfog.files.output import write_json, write_text
from unfog.progress import Report
from unfog.runs.machine import AUTO
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.workflows.audit import held_out_split
from unfog.workflows.augment_arms import CLASSICAL, REAL, Arms, summarised, synthetic
from unfog.workflows.augment_pool import PART, Labelled, Synthetic, chosen
from unfog.workflows.augment_report import study_page
from unfog.workflows.judged import data_against, require_shape
from unfog.workflows.processes import keep_shared

STUDY, SCORES, POOL = "study.json", "scores.json", "pool"
STEPS = 600


def augment_study(
    source: Path,
    out: Path,
    *,
    data: str | None = None,
    test: str | None = None,
    target: str | None = None,
    labels: Sequence[int] = (50, 200, 1000),
    ratios: Sequence[float] = (1, 4),
    seeds: int = 5,
    steps: int = STEPS,
    guidance: float | None = None,
    sampler: str | None = None,
    sampler_steps: int | None = None,
    precision: str = AUTO,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train a small network on few real pictures, on those with classical augmentation, and on
    those with pictures that a run drew for their labels; score each on real pictures.

    Asked for again it goes on: what is drawn and scored stays.

    Args:
        source: The run, or a shipped prior's name.
        out: The folder.
        data: The labelled pictures; those that the run was trained on by default.
        test: Those that networks are scored on; the test split of built-in data by default.
        target: The condition that is the task, a class or a mask; the first by default.
        labels: Numbers of labelled pictures.
        ratios: Synthetic pictures a real one.
        seeds: Choices of labelled pictures, each with its own network and draws.
        steps: Of each network's training.
        guidance: The scale of classifier-free guidance.
        sampler: Of the run; its own by default.
        sampler_steps: Its steps; the run's own by default.
        precision: Of the run's network.
        report: Told (parts of the work done, parts in all): 250 pictures are one, and a network.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: The run is told no such condition, or there are too few pictures.
    """
    run = open_run(source, precision)
    train = data_against(source, data)
    other = held_out_split(source, "--test") if test is None else open_dataset(test)
    name, task = _task(run, train, target)
    _check(source, run, train, other, name, labels, ratios)
    labels, ratios = sorted(set(labels)), sorted(set(ratios))
    plan = Plan.of(run, sampler, sampler_steps)
    shared = {
        "run": str(source),
        "run was trained on": _trained_on(source),
        "data": train.name,
        "data fingerprint": train.fingerprint,
        "scored on": other.name,
        "scored on fingerprint": other.fingerprint,
        "target": name,
        "score": task.score_name,
        "steps": steps,
        "guidance": guidance,
        "sampling": dict(plan.names),
    }
    keep_shared(out, STUDY, shared, "a study of another run, or on other data")
    (out / POOL).mkdir(exist_ok=True)
    mirror = run.config["augment"]["name"] == "flip"
    study = _Study(
        Arms(
            task,
            Labelled.of(other, name, torch.arange(len(other))),
            ClassicalAugmentation(mirror, masks=isinstance(task, Segmentation)),
            steps,
        ),
        Synthetic(run, plan, name, guidance, train, out / POOL),
        out,
    )
    return _written(study, shared, train, labels, ratios, seeds, report)


class _Study:
    """The scores of a study, kept in its folder as they come."""

    def __init__(self, arms: Arms, source: Synthetic, out: Path) -> None:
        self.arms, self.source, self.out = arms, source, out
        self.file = out / SCORES
        self.scores: dict[str, float] = (
            json_text.read(self.file, finite=False) if self.file.is_file() else {}
        )

    def score(self, arm: str, count: int, seed: int, real: Labelled, pool: Labelled) -> float:
        """The score of a cell, trained unless it is there."""
        key = f"{count} labels, {arm}, seed {seed}"
        if key not in self.scores:
            self.scores[key] = self.arms.score(arm, real, pool, seed)
            write_json(self.file, self.scores, overwrite=True)
        return self.scores[key]


class _Counted:
    """Tells a report each part of the work."""

    def __init__(self, report: Report | None, total: int) -> None:
        self.report, self.total, self.done = report, total, 0

    def __call__(self) -> None:
        self.done += 1
        if self.report is not None:
            self.report(self.done, self.total)


def _written(
    study: _Study,
    shared: dict[str, Any],
    train: Dataset,
    labels: Sequence[int],
    ratios: Sequence[float],
    seeds: int,
    report: Report | None,
) -> dict[str, Any]:
    """Score all cells, and write summary.json and report.html."""
    arms = [REAL, CLASSICAL, *map(synthetic, ratios)]
    scores: dict[str, dict[str, list[float]]] = {str(n): {a: [] for a in arms} for n in labels}
    copies, shown = math.ceil(ratios[-1]), None
    parts = math.ceil(copies * labels[-1] / PART)
    done = _Counted(report, seeds * (parts + len(labels) * len(arms)))
    for seed in range(seeds):
        ids = chosen(train, study.source.name, labels[-1], seed)
        most = Labelled.of(train, study.source.name, ids)
        drawn = study.source.of(most, copies, seed, done)
        shown = shown or (most[:12], drawn[:12])
        for count in labels:
            # One picture for each of the first labels, then another for each, as in the pool.
            rows = torch.arange(copies)[:, None] * len(most) + torch.arange(count)
            pool = drawn[rows.flatten()]
            for arm in arms:
                score = study.score(arm, count, seed, most[:count], pool)
                scores[str(count)][arm].append(score)
                done()
    assert shown is not None
    table = summarised(scores, ratios)
    summary = {**shared, "seeds": seeds, "labels": table}
    write_json(study.out / "summary.json", {**summary, "scores": scores}, overwrite=True)
    write_text(study.out / "report.html", study_page(summary, *shown).html(), overwrite=True)
    return {"out": str(study.out), **summary}


def _trained_on(source: Path) -> int | None:
    """How many samples the run was trained on; None where they are not at hand."""
    try:
        return len(data_against(source, None))
    except InputError:
        return None


def _task(run: Run, data: Dataset, target: str | None) -> tuple[str, Downstream]:
    """The condition that is the task, and the task."""
    told = run.config.get("conditions") or {}
    fit = [
        name
        for name, part in told.items()
        if part["name"] in TASKS and data.conditions.get(name, {}).get("name") in TASKS
    ]
    if target is not None and target not in fit:
        raise InputError(
            f"{target!r} is no class and no mask that both the run and {data.name} have; take one "
            f"of: {', '.join(fit) or 'none'}."
        )
    if not fit:
        raise InputError(
            f"A study needs a run that was trained with classes or masks which {data.name} has "
            "too; train one with such data."
        )
    name = target or fit[0]
    return name, task_of(data.conditions[name])


def _check(
    source: Path,
    run: Run,
    train: Dataset,
    test: Dataset,
    name: str,
    labels: Sequence[int],
    ratios: Sequence[float],
) -> None:
    """``InputError`` where pictures, numbers or ratios do not fit."""
    require_shape(str(source), tuple(run.shape), train)
    require_shape(test.name, tuple(test.shape), train)
    if name not in test.conditions:
        raise InputError(f"{test.name} has no {name!r}; give --test data that have.")
    if test.fingerprint == train.fingerprint:
        raise InputError("Networks are scored on the labelled pictures; give --test others alike.")
    if not labels or min(labels) < 2 or max(labels) > len(train):
        raise InputError(
            f"The numbers of labelled pictures are between 2 and {len(train)}, not {list(labels)}."
        )
    if not ratios or min(ratios) <= 0 or max(ratios) > 100:
        raise InputError(f"A ratio of synthetic pictures is in (0, 100], not {list(ratios)}.")
