"""What ends a command from outside: SIGTERM is raised as SIGINT is, so that scratch folders are
taken away and the command says where it stands.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

NATIVE = ("torch", "numpy")  # an exception while their libraries are loaded aborts the process


class Stopped(KeyboardInterrupt):
    """A signal; ``code`` is the exit status, 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


def raise_on_signals() -> None:
    """From here on SIGTERM and SIGINT raise ``Stopped``, each once; a second one ends the process
    at once.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    loading = (getattr(sys.modules.get(name), "__spec__", None) for name in NATIVE)
    if any(getattr(spec, "_initializing", False) for spec in loading):
        # Work, and with it whatever is written, begins after these are loaded.
        os.write(2, b"unfog: stopped before it began; nothing was written.\n")
        os._exit(128 + number)
    raise Stopped(number)


def exit_status(stop: BaseException) -> int:
    """The exit status of a command that a signal ended."""
    return int(getattr(stop, "code", 128 + signal.SIGINT))
