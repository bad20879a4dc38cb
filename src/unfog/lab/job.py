"""A job: one command line, its state, and the folder that both lie in.

The folder holds ``job.json``, the input files under neutral names, ``stdout.txt`` and
``stderr.txt``, and ``result``, which the command writes: an ordinary output folder.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unfog.files.output import replace_durably

WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"
ENDED = (DONE, FAILED, STOPPED)
STATE, STDOUT, STDERR, RESULT = "job.json", "stdout.txt", "stderr.txt", "result"
STEP = re.compile(
    r"^(?:(?P<title>[^:]+): )?step (?P<done>\d+) of (?P<total>\d+)(?:: (?P<note>.*))?$"
)
TAIL = 8192  # bytes of stderr that are looked at


@dataclass
class Job:
    """A job as its folder says.

    Args:
        id: Opaque; the folder's name.
        page: The page that asked for it.
        arguments: What follows ``unfog`` on the command line.
        fields: What the form held.
        state: One of waiting, running, done, failed, stopped.
        made: Seconds since 1970, as ``began`` and ``ended``.
        pid: The process at work, and when it was born: a number comes back one day.
        sentence: What went wrong.
        module: What ``arguments`` are of: ``python -m MODULE``.
        after: A module that is run in the job's folder when the command has ended well, to draw
            from its results what the page shows besides.
        again: What is added to the arguments when an interrupted job is begun once more.
    """

    id: str
    page: str
    arguments: Sequence[str]
    fields: Mapping[str, str]
    state: str = WAITING
    made: float = field(default_factory=time.time)
    began: float | None = None
    ended: float | None = None
    pid: int | None = None
    born: str | None = None
    sentence: str = ""
    module: str = "unfog"
    after: str = ""
    again: Sequence[str] = ()

    @property
    def line(self) -> str:
        """The command line as a user would type it in the job's folder."""
        command = "unfog" if self.module == "unfog" else f"python -m {self.module}"
        return f"{command} " + shlex.join(a for a in self.arguments if a != "--json")

    def save(self, folder: Path) -> None:
        """Write the state into the job's folder, in one rename."""
        replace_durably(folder / STATE, json.dumps(asdict(self)).encode())

    @classmethod
    def load(cls, folder: Path) -> Job | None:
        """The job of a folder; None where its state cannot be read."""
        try:
            return cls(**json.loads((folder / STATE).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Progress:
    """How far a job is: stage, steps and a note, such as the loss."""

    title: str = ""
    done: int = 0
    total: int = 0
    note: str = ""


def tail(path: Path) -> list[str]:
    """The last lines of a file; none where there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def progress_of(folder: Path) -> Progress:
    """The newest line of progress on a job's stderr."""
    for line in reversed(tail(folder / STDERR)):
        found = STEP.match(line.strip())
        if line.strip().endswith(" ..."):  # a stage without a step so far
            return Progress(line.strip().removesuffix(" ..."))
        if found:
            done, total = int(found["done"]), int(found["total"])
            return Progress(found["title"] or "training", done, total, found["note"] or "")
    return Progress()


def result_of(folder: Path) -> dict[str, Any] | None:
    """The object that a command which ended well printed on stdout."""
    try:
        value = json.loads((folder / STDOUT).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def sentence_of(folder: Path) -> str:
    """What a command that failed said: its one sentence, or typer's on an option."""
    lines = [line.strip() for line in tail(folder / STDERR)]
    for line in reversed(lines):
        for opening in ("unfog: ", "Error: "):
            if line.startswith(opening):
                return line.removeprefix(opening)
    return "The command ended before its work was done."


def empty(folder: Path) -> None:
    """Remove all that a job left but its state."""
    for path in folder.iterdir():
        if path.name != STATE:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
