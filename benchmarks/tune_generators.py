"""Tune the baselines of ``unfog compare``: train every setting of a search, measure and keep it.

    python benchmarks/tune_generators.py WORK

reads ``tuning.yaml`` beside this file, trains in the folder WORK, and writes every setting that was
tried, with its figures and CPU seconds, into ``results/tuning.json``. Asked for again it goes on.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import unfog.builtin  # noqa: F401  (registers every name)
from unfog.data.dataset import open_dataset
from unfog.files import yaml
from unfog.workflows.compare_budget import settings_of
from unfog.workflows.compare_judge import Judge
from unfog.workflows.compare_train import COST, train_run
from unfog.workflows.processes import DONE, LOGS

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "tuning.json"


def combinations(grid: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Every combination of a grid's values."""
    return [dict(zip(grid, one, strict=True)) for one in itertools.product(*grid.values())]


def measured(run: Path, judge: Judge, seed: int) -> dict[str, Any]:
    """The figures of a run that are kept."""
    found, _ = judge.judged(run, seed)
    figures = {name: one["value"] for name, one in found["figures"].items()}
    return {**figures, **found.get("modes", {})}


def tune(work: Path, name: str, section: dict[str, Any], search: dict[str, Any]) -> None:
    """Try all settings of the systems on one data set."""
    seed, kept = search["seed"], json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    judge = None
    for system, space in section["systems"].items():
        for tried in combinations(space["grid"]):
            key = {"data": name, "system": system, "settings": {**space["set"], **tried}}
            if any(all(row[k] == v for k, v in key.items()) for row in kept):
                continue
            run = work / "-".join([name, system, *map(str, tried.values())])
            chosen = settings_of(
                system, name, key["settings"], search["minutes"], run.with_suffix(".json")
            )
            state = train_run(system, name, run, {**chosen, "training.seed": seed})
            row = {**key, "minutes": search["minutes"], "measure": section["measure"]}
            if state == DONE:
                judge = judge or Judge.of(
                    open_dataset(name), section["features"], section["n"], told=False
                )
                cost = json.loads((run / COST).read_text())
                row |= {"steps": chosen["training.steps"], "CPU seconds": cost["cpu"]}
                row |= measured(run, judge, seed)
            else:
                row["failed"] = state
            kept.append(row)
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
            print(json.dumps(row), flush=True)  # noqa: T201


def main() -> None:
    """Run the search."""
    work, search = Path(sys.argv[1]), yaml.read(HERE / "tuning.yaml")
    (work / LOGS).mkdir(parents=True, exist_ok=True)
    for name, section in search["data"].items():
        tune(work, name, section, search)


if __name__ == "__main__":
    main()
