"""``unfog sweep``: a run for every combination of settings, over processes; it goes on after a
stop.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files import yaml
from unfog.files.output import write_json, write_text
from unfog.progress import Report
from unfog.runs.record import Record
from unfog.workflows.processes import DONE, LOGS, keep_shared, train_in_process
from unfog.workflows.run_table import comparison_page

SWEEP, SUMMARY = "sweep.json", "summary.json"
FAILED = "failed"


@dataclass(frozen=True)
class Sweep:
    """A sweep, as its file says it.

    Args:
        system: The system that every run trains.
        grid: The values of each setting that is swept, by dotted key.
        out: The folder of the runs.
        data: Their data; None for the system's own.
        set: Settings of all runs, by dotted key.
    """

    system: str
    grid: Mapping[str, Sequence[Any]]
    out: str
    data: str | None = None
    set: Mapping[str, Any] = field(default_factory=dict)

    def runs(self) -> dict[str, dict[str, Any]]:
        """The settings of each run, by the name of its folder."""
        values = list(itertools.product(*self.grid.values()))
        return {
            ",".join(f"{_short(key, self.grid)}={_word(v)}" for key, v in chosen.items()): chosen
            for chosen in (dict(zip(self.grid, one, strict=True)) for one in values)
        }


def read_sweep(path: Path) -> Sweep:
    """The sweep in a YAML file.

    Raises:
        InputError: A key is unknown or missing, or the grid has a setting without values.
    """
    content = yaml.read(path)
    known = [*Sweep.__dataclass_fields__]
    if not isinstance(content, dict) or not {"system", "grid", "out"} <= content.keys():
        raise InputError(
            f"{path} is no sweep: it needs 'system', 'out' and 'grid', such as "
            "'grid: {training.lr: [0.0001, 0.0002]}'."
        )
    strange = [key for key in content if key not in known]
    if strange:
        raise InputError(f"{path} has an unknown key {strange[0]!r}; it knows {', '.join(known)}.")
    grid, fixed = content["grid"], content.get("set") or {}
    if not isinstance(grid, dict) or not grid or not isinstance(fixed, dict):
        raise InputError(f"{path}: 'grid' and 'set' are mappings from settings to values.")
    for key, values in grid.items():
        if not isinstance(values, list) or not values or len({*map(_word, values)}) < len(values):
            raise InputError(f"{path}: the setting {key!r} needs a list of different values.")
    return Sweep(**{**content, "set": fixed, "out": str(path.parent / content["out"])})


def run_sweep(sweep: Sweep, processes: int = 1, report: Report | None = None) -> dict[str, Any]:
    """Train every run of a sweep that is not finished; a started one goes on from its checkpoint.

    Args:
        sweep: The sweep.
        processes: Runs at a time, each in a process with its share of the threads.
        report: Told (runs done, runs in all).

    Returns:
        The summary that is written into the sweep's folder beside its report.

    Raises:
        InputError: The folder holds another sweep.
    """
    root = Path(sweep.out)
    shared = {key: value for key, value in asdict(sweep).items() if key not in ("grid", "out")}
    keep_shared(root, SWEEP, shared, "a sweep of another system, data or 'set'")
    runs = sweep.runs()
    threads = max(1, (os.cpu_count() or 1) // processes)
    started: list[subprocess.Popen[bytes]] = []
    stopped, done = threading.Event(), itertools.count(1)

    def one(name: str) -> str:
        if stopped.is_set():
            return "stopped"
        state = train_in_process(
            sweep.system,
            sweep.data,
            root / name,
            {**sweep.set, **runs[name]},
            root / LOGS / f"{name}.txt",
            threads=threads,
            started=started.append,
        )
        if report is not None:
            report(next(done), len(runs))
        return state

    with ThreadPoolExecutor(processes) as pool:
        try:
            states = dict(zip(runs, pool.map(one, runs), strict=True))
        except KeyboardInterrupt:
            stopped.set()
            for process in started:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)  # it saves a checkpoint first
            raise
    return _summary(root, sweep, states)


def _summary(root: Path, sweep: Sweep, states: Mapping[str, str]) -> dict[str, Any]:
    """Write what came out, and the page that compares the runs."""
    done = [Record.of(root / name, name) for name, state in states.items() if state == DONE]
    losses = {record.name: record.loss for record in done if record.loss is not None}
    summary = {
        "system": sweep.system,
        "runs": len(states),
        DONE: len(done),
        FAILED: {name: state for name, state in states.items() if state != DONE},
        "loss": losses,
        "lowest loss": min(losses, key=lambda name: losses[name], default=None),
    }
    write_json(root / SUMMARY, summary, overwrite=True)
    if done:
        write_text(root / "report.html", comparison_page(done).html(), overwrite=True)
    return {"out": str(root), **summary}


def _short(key: str, grid: Mapping[str, Any]) -> str:
    """The last part of a dotted key, where no other key of the grid ends alike."""
    last = key.rpartition(".")[2]
    return last if sum(k.rpartition(".")[2] == last for k in grid) == 1 else key


def _word(value: Any) -> str:
    """A value in the name of a folder."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return "".join(c if c.isalnum() or c in "._-+" else "_" for c in text)
