"""``unfog compare``: systems side by side on one data set, over seeds, for so many minutes each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unfog.data.dataset import open_dataset
from unfog.errors import InputError
from unfog.evaluation.feature_spaces import feature_spaces
from unfog.evaluation.judgement import LEAST
from unfog.files import json_text
from unfog.files.output import write_json, write_text
from unfog.progress import Report
from unfog.runs.record import Record
from unfog.runs.train_data import data_section
from unfog.systems import registry
from unfog.workflows.compare_judge import Judge
from unfog.workflows.compare_report import compare_page
from unfog.workflows.compare_summary import at_seconds, summarised
from unfog.workflows.compare_train import FIRST, train_compared, whole_cost
from unfog.workflows.processes import DONE, keep_shared

COMPARED, JUDGED, DRAWN = "compare.json", "judged.json", "drawn.npy"
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
        minutes: CPU minutes of each run's training, with the threads that it has, and with the
            autoencoder that latent diffusion begins from.
        features: The feature space, by name.
        count: Samples of a run, half of the data at most.
        settings: Settings of all runs, by dotted key, or of one, as "gan:objective.gamma"; with
            training.steps the minutes do not count.
        report: Told (runs done, runs in all).

    Returns:
        The summary that is written there too.

    Raises:
        InputError: A name is unknown, or a system needs a run that no comparison trains.
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
    judge: Judge | None = None
    failed: dict[str, str] = {}
    for number, (system, seed) in enumerate(named, 1):
        run = out / f"{system}-{seed}"
        state = train_compared(system, data, run, own, minutes, seed)
        if state != DONE:
            failed[run.name] = state
        elif not (run / JUDGED).is_file():
            judge = judge or Judge.of(dataset, features, n)
            found, x = judge.judged(run, seed)
            np.save(run / DRAWN, x.numpy().astype(np.float32))
            write_json(run / JUDGED, found)
        if report is not None:
            report(number, len(named))
    return _written(out, systems, seeds, shared, failed)


def _check(systems: Sequence[str]) -> None:
    """``InputError`` for a system that cannot be trained on data, or after an autoencoder."""
    for name in systems:
        system = registry.get(name)
        if system.trains not in ("denoiser", "generator"):
            raise InputError(
                f"{name} draws nothing by itself and cannot be compared; leave it out."
            )
        if system.codec not in (None, *FIRST) or system.encoder:
            raise InputError(f"{name} needs another run first, so it cannot be compared here.")


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
    summary = {
        **shared,
        "seeds": seeds,
        "systems": table,
        "at equal sampling seconds": at_seconds(table),
        "failed": dict(failed),
    }
    write_json(out / "summary.json", summary, overwrite=True)
    pictures = {name: out / f"{name}-0" / DRAWN for name in systems}
    page = compare_page(summary, runs, {k: v for k, v in pictures.items() if v.is_file()})
    write_text(out / "report.html", page.html(), overwrite=True)
    return {"out": str(out), **summary}


def _facts(run: Path) -> dict[str, Any]:
    """What was measured of a run."""
    judged = json_text.read(run / JUDGED, finite=False)
    return {**judged, "cost": whole_cost(run)}
