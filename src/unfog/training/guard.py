"""Guards of a training run: a lock on its folder, and signals that end it after a save."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from unfog.errors import InputError
from unfog.training.checkpoint import writing


class Interrupted(Exception):
    """Training was ended by a signal after a save; ``code`` is the exit status, 128 + the signal's
    number.
    """

    def __init__(self, code: int, step: int) -> None:
        super().__init__(f"Training was stopped after step {step}; resume to go on.")
        self.code, self.step = code, step


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Make the run folder and lock it against other processes; the operating system releases the
    lock however the process ends.
    """
    import fcntl  # not on every system, so only where training starts

    with writing("The run folder"):
        run.mkdir(parents=True, exist_ok=True)
        file = open(run / "lock", "ab")  # noqa: SIM115  (closed below)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                "Another process is training in this run folder; wait for it to end or choose "
                "another folder."
            ) from error
        yield


class Signals:
    """Records SIGTERM and SIGINT in ``code`` (128 + the signal's number) instead of ending the
    process, so that the loop can save first; a second signal acts as it did before.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        # Python delivers signals to the main thread only.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.code = 128 + number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it was not set from Python
        self._before = {}

    def __exit__(self, *_: object) -> None:
        self._restore()
