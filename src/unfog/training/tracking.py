"""Trackers: they are given each row of a run's log once, and never decide how the run goes.

The log in the run's folder stays the truth. A resumed run gives a tracker the rows that it lacks
and none that it holds, so its copy ends as the log does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from unfog.core.registry import Registry
from unfog.files import json_text
from unfog.files.output import replace_durably

log = logging.getLogger(__name__)
TRACKED = "tracked.json"  # in the run's folder: what each tracker calls the run
PROJECT = "unfog"  # what trackers file the runs under


class Tracker(Protocol):
    """Where the figures of runs are kept beside their folders."""

    package: str  # that it needs, which is also its extra

    def begin(
        self, run: Path, config: Mapping[str, Any], known: str | None
    ) -> tuple[str | None, int]:
        """Begin a run, or go on with one.

        Args:
            run: Its folder, whose name is the run's.
            config: Its config, complete.
            known: What this tracker called the run when it began; None for a new one.

        Returns:
            What it calls the run, where it needs a name to find it again, and the last step that
            it holds of it: all steps after that are to come.
        """
        ...

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of a step."""
        ...

    def end(self, finished: bool) -> None:
        """End the run, which was stopped before its last step where it is not finished."""
        ...


trackers: Registry[Tracker] = Registry("tracker")


class Tracking:
    """A run's trackers, from its beginning to its end. One that fails is said once and left out
    from there; it is given what it lacks when the run is resumed.

    Args:
        found: The trackers, by name.
        run: The run's folder.
        config: Its config.
    """

    def __init__(self, found: Mapping[str, Tracker], run: Path, config: Mapping[str, Any]) -> None:
        self.trackers, self.run, self.config = dict(found), run, config
        self.held: dict[str, int] = {}  # the last step that each held at the beginning

    def __enter__(self) -> Tracking:
        file = self.run / TRACKED
        known: dict[str, str] = {}
        with suppress(OSError, ValueError):  # without the file, each begins a new run
            known = json_text.read(file)

        def begin(name: str, tracker: Tracker) -> None:
            mine, self.held[name] = tracker.begin(self.run, self.config, known.get(name))
            if mine is not None and mine != known.get(name):
                known[name] = mine
                replace_durably(file, json.dumps(known).encode())

        self._each(begin)
        return self

    def row(self, row: Mapping[str, Any]) -> None:
        """Give a row of the log to every tracker that lacks it: its numbers, and of a step that
        was skipped how many samples it was skipped for.
        """
        step = int(row["step"])
        figures = {
            name: float(len(value) if isinstance(value, list) else value)
            for name, value in row.items()
            if name != "step"
        }

        def give(name: str, tracker: Tracker) -> None:
            if step > self.held[name]:
                tracker.log(step, figures)

        self._each(give)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._each(lambda name, tracker: tracker.end(finished=kind is None))

    def _each(self, act: Callable[[str, Tracker], None]) -> None:
        """Act on every tracker; one that fails is left out from there."""
        for name, tracker in list(self.trackers.items()):
            try:
                act(name, tracker)
            except Exception as error:  # whatever a library raises, the run goes on
                del self.trackers[name]
                log.warning(
                    "%s failed (%s: %s); training goes on without it, and --resume --track %s "
                    "gives it what it lacks.",
                    name,
                    type(error).__name__,
                    str(error).strip().partition("\n")[0],
                    name,
                )
