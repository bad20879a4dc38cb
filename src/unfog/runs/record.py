"""What runs were and how they went, read from their folders: for lists and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unfog.errors import InputError
from unfog.files import json_text, yaml
from unfog.files.local_paths import without_paths
from unfog.files.yaml import flat
from unfog.training.config_record import CONFIG  # not of runs.folder, which loads torch

if TYPE_CHECKING:
    from unfog.systems.registry import Config

METRICS, MACHINE = "metrics.jsonl", "machine.json"
COMPARED = {"<": lambda a, b: a < b, ">": lambda a, b: a > b, "=": lambda a, b: a == b}
MISSING = "-"


@dataclass(frozen=True)
class Record:
    """A run's folder, read.

    Args:
        name: The folder, from where the search began.
        path: The folder.
        config: Its config.
        steps: Of each row of its log.
        losses: The mean loss of each row.
        skipped: Steps that updated nothing: loss or gradient was not finite.
        machine: Versions and machine, where the run holds them.
    """

    name: str
    path: Path
    config: Config
    steps: Sequence[int]
    losses: Sequence[float]
    skipped: int
    machine: Mapping[str, Any]

    @classmethod
    def of(cls, path: Path, name: str | None = None) -> Record:
        """The record of a run's folder; ``InputError`` where its config cannot be read."""
        config = yaml.read(path / CONFIG)
        if not isinstance(config, dict):
            raise InputError(f"{path / CONFIG} is no config of a run; restore it.")
        rows = _rows(path / METRICS)
        done = [row for row in rows if "loss" in row]
        file = path / MACHINE
        machine = json_text.read(file) if file.is_file() else {}
        return cls(
            name or path.name,
            path,
            without_paths(config),
            [int(row["step"]) for row in done],
            [float(row["loss"]) for row in done],
            len(rows) - len(done),
            machine,
        )

    @property
    def step(self) -> int:
        """The last step in the log."""
        return self.steps[-1] if self.steps else 0

    @property
    def loss(self) -> float | None:
        """The mean loss of the last twentieth of the log; None before the first row."""
        last = self.losses[-max(1, len(self.losses) // 20) :]
        return sum(last) / len(last) if last else None

    def facts(self) -> dict[str, Any]:
        """A line of a list: system, data, step, loss and seed."""
        training = self.config.get("training") or {}
        data = self.config.get("data") or {}
        return {
            "system": self.config.get("system"),
            "data": data.get("name"),
            "step": self.step,
            "steps": training.get("steps"),
            "loss": self.loss,
            "seed": training.get("seed"),
            "skipped": self.skipped,
        }


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a log; a last line that is half written is left out."""
    rows = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json_text.parse(line, path.name, finite=False))
        except ValueError:
            break
    return rows


def find_runs(root: Path) -> list[Record]:
    """The runs in a folder and the folders below it, by name; one that lies in another is none.

    Args:
        root: Where to look; a run's own folder is that run.

    Returns:
        Their records.

    Raises:
        InputError: There is no such folder, or no run in it.
    """
    if not root.is_dir():
        raise InputError(f"There is no folder {root}; give the one that holds your runs.")
    if (root / CONFIG).is_file():
        return [Record.of(root)]
    found = run_folders(root)
    if not found:
        raise InputError(f"{root} holds no runs: there is no {CONFIG} in it or below.")
    return [Record.of(folder, str(folder.relative_to(root))) for folder in found]


def run_folders(root: Path) -> list[Path]:
    """The folders of the runs below a folder, by name, but for hidden ones and runs in runs."""
    found: list[Path] = []
    for file in sorted(root.rglob(CONFIG)):
        folder = file.parent
        hidden = any(part.startswith(".") for part in folder.relative_to(root).parts)
        if not hidden and not any(other in folder.parents for other in found):
            found.append(folder)
    return found


def matching(records: Sequence[Record], conditions: Sequence[str]) -> list[Record]:
    """The runs that meet every condition.

    Args:
        records: The runs.
        conditions: Each ``key=value``, ``key<value`` or ``key>value``, with the dotted key of a
            setting, or "step" or "loss".

    Returns:
        Those, in the same order.

    Raises:
        InputError: A condition is not of that form, or no run has its key.
    """
    kept = list(records)
    for condition in conditions:
        sign = next((s for s in "<>=" if s in condition), None)
        key, _, text = condition.partition(sign or "=")
        if sign is None or not key.strip() or not text.strip():
            raise InputError(
                f"A condition is key=value, key<value or key>value, such as training.lr<0.001, not "
                f"{condition!r}."
            )
        kept = [r for r in kept if _meets(r, key.strip(), sign, text.strip())]
        if not any(key.strip() in _values(r) for r in records):
            raise InputError(f"No run has a setting {key.strip()!r}; see the config.yaml of one.")
    return kept


def _values(record: Record) -> dict[str, Any]:
    return {**flat(record.config), **record.facts()}


def _meets(record: Record, key: str, sign: str, text: str) -> bool:
    """Whether a run meets one condition; values of other kinds do not."""
    own, wanted = _values(record).get(key), yaml.parse(text, f"The value of {key}")
    if sign != "=" and not all(isinstance(v, int | float) for v in (own, wanted)):
        return False
    return bool(COMPARED[sign](own, wanted))


def differences(records: Sequence[Record]) -> dict[str, list[Any]]:
    """The settings in which runs differ, by dotted key, with the value of each run; a setting that
    a run has not is "-".
    """
    settings = [flat(record.config) for record in records]
    keys = {key: None for one in settings for key in one}  # in their order
    values = {key: [one.get(key, MISSING) for one in settings] for key in keys}
    return {key: row for key, row in values.items() if any(v != row[0] for v in row)}
