"""``unfog compare``: systems side by side on one data set, over seeds, for so many minutes each."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from unfog.core.random import generator
from unfog.data.dataset import Dataset, open_dataset
from unfog.errors import InputError
from unfog.evaluation.feature_spaces import FeatureSpace, feature_spaces
from unfog.evaluation.judgement import LEAST, judge
from unfog.files.output import write_json, write_text
from unfog.progress import Report
from unfog.runs.record import Record
from unfog.runs.train_data import data_section
from unfog.systems import registry
from unfog.workflows.compare_report import compare_page, summarised
from unfog.workflows.judged import REFERENCE, draw_beside, real_samples, to_unit
from unfog.workflows.processes import DONE, LOGS, keep_shared, train_in_process

COMPARED, JUDGED, COST = "compare.json", "judged.json", "cost.json"
MOST = 1000  # samples of a run


def compare(
    data: str,
    systems: Sequence[str],
    out: Path,
    *,
    seeds: int = 5,
    minutes: float = 5.0,
    features: str = "data",
    count: int = MOST,
    settings: Mapping[str, Any] | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train systems over seeds, judge all by the same features, and write a table and a page.

    Asked for again it goes on: runs that are finished stay, and so do their figures.

    Args:
        data: A data set by name, or a file or folder.
        systems: Systems by name, of denoisers or generators.
        out: The folder.
        seeds: Runs of each, with the seeds 0, 1, ...
        minutes: Of each run's training.
        features: The feature space, by name.
        count: Samples of a run, half of the data at most.
        settings: Settings of all runs, by dotted key; with training.steps the minutes do not count.
        report: Told (runs done, runs in all).

    Returns:
        The summary that is written there too.

    Raises:
        InputError: A name is unknown, or a system needs another run first.
    """
    _check(systems)
    feature_spaces.get(features)
    data_section(data)
    own = dict(settings or {})
    shared = {"data": data, "minutes": minutes, "features": features, "n": count, "set": own}
    dataset = open_dataset(data)
    n = min(count, len(dataset) // 2)
    if n < LEAST:
        raise InputError(f"{data} has {len(dataset)} samples; a comparison needs {2 * LEAST}.")
    keep_shared(out, COMPARED, shared, "a comparison on other data, or for other minutes")
    named = [(system, seed) for system in systems for seed in range(seeds)]
    space: FeatureSpace | None = None
    failed: dict[str, str] = {}
    for number, (system, seed) in enumerate(named, 1):
        run = out / f"{system}-{seed}"
        timed = None if "training.steps" in own else minutes
        state = _train(system, data, run, {**own, "training.seed": seed}, timed)
        if state != DONE:
            failed[run.name] = state
        elif not (run / JUDGED).is_file():
            space = space or _space(features, dataset, n)
            write_json(run / JUDGED, _judged(run, dataset, space, n, seed))
        if report is not None:
            report(number, len(named))
    return _written(out, systems, seeds, shared, failed)


def _check(systems: Sequence[str]) -> None:
    """``InputError`` for a system that cannot be trained on data alone."""
    for name in systems:
        system = registry.get(name)
        if system.trains not in ("denoiser", "generator"):
            raise InputError(
                f"{name} draws nothing by itself and cannot be compared; leave it out."
            )
        if system.codec is not None or system.encoder:
            raise InputError(f"{name} needs another run first, so it cannot be compared here.")


def _train(
    system: str, data: str, run: Path, settings: Mapping[str, Any], minutes: float | None
) -> str:
    """Train one run, and add what it cost in CPU and wall seconds to its file."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    log = run.parent / LOGS / f"{run.name}.txt"
    threads = int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads()))
    state = train_in_process(system, data, run, settings, log, threads=threads, minutes=minutes)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if run.is_dir():
        file = run / COST
        so_far = json.loads(file.read_text("utf-8")) if file.is_file() else {"cpu": 0, "wall": 0}
        cost = {"cpu": so_far["cpu"] + spent, "wall": so_far["wall"] + time.perf_counter() - begun}
        write_json(file, cost, overwrite=True)
    return state


def _order(dataset: Dataset) -> torch.Tensor:
    """The data in one order for all runs: the first n are the floor, the others the reference."""
    return torch.randperm(len(dataset), generator=generator(0, "compared"))


def _space(features: str, dataset: Dataset, n: int) -> FeatureSpace:
    x, labels = real_samples(dataset, _order(dataset)[n : n + REFERENCE])
    return feature_spaces.build(features, x=x, labels=labels)


def _judged(run: Path, dataset: Dataset, space: FeatureSpace, n: int, seed: int) -> dict[str, Any]:
    """The figures of a run, and the CPU seconds of a sample."""
    order = _order(dataset)
    begun = time.process_time()
    x, drawn = draw_beside(run, dataset, order[:n], seed)
    seconds = (time.process_time() - begun) / n
    sets = [to_unit(dataset, x)]
    sets += [real_samples(dataset, ids)[0] for ids in (order[:n], order[n : n + REFERENCE])]
    ours, real, reference = map(space.of, sets)
    found = judge(ours, real, reference, seed).plain()
    return {**found, "features": space.title, "seconds a sample": seconds, "drawn": drawn}


def _written(
    out: Path,
    systems: Sequence[str],
    seeds: int,
    shared: Mapping[str, Any],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """Write summary.json and report.html of all runs that are there."""
    runs: dict[str, list[tuple[Record, dict[str, Any]]]] = {}
    for system in systems:
        folders = [out / f"{system}-{seed}" for seed in range(seeds)]
        runs[system] = [
            (Record.of(folder), _facts(folder)) for folder in folders if (folder / JUDGED).is_file()
        ]
    table = {
        system: {**summarised(one), "failed": sum(k.startswith(f"{system}-") for k in failed)}
        for system, one in runs.items()
    }
    summary = {**shared, "seeds": seeds, "systems": table, "failed": dict(failed)}
    write_json(out / "summary.json", summary, overwrite=True)
    write_text(out / "report.html", compare_page(summary, runs).html(), overwrite=True)
    return {"out": str(out), **summary}


def _facts(run: Path) -> dict[str, Any]:
    """What was measured of a run."""
    judged = json.loads((run / JUDGED).read_text("utf-8"))
    return {**judged, "cost": json.loads((run / COST).read_text("utf-8"))}
