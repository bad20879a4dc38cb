"""A job's process: begun in a session of its own, watched, and ended with all its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from unfog.lab.job import STDERR, STDOUT

GRACE = 10.0  # seconds from asking a process to end to ending it
EVERY = "0.3"  # seconds between a command's lines of progress
NICE = 10  # behind the server and whatever else the user does
PROC = Path("/proc")


def begin(
    module: str, arguments: Sequence[str], folder: Path, said: str = STDOUT
) -> subprocess.Popen[bytes]:
    """Start ``python -m MODULE ARGUMENTS`` in a job's folder; its output goes to files there."""
    scratch = folder / "tmp"
    scratch.mkdir(exist_ok=True)
    surroundings = {**os.environ, "UNFOG_PROGRESS_SECONDS": EVERY, "TMPDIR": str(scratch)}
    # A folder on the path of modules that is relative to here would mean another one there.
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    surroundings["PYTHONPATH"] = os.pathsep.join(str(Path(p).resolve()) for p in paths if p)
    with (folder / said).open("wb") as out, (folder / STDERR).open("ab") as err:
        child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=surroundings,
            start_new_session=True,
        )
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, child.pid, NICE)
    return child


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; none where there is no such process."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def born(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None where it is gone or its parent has not
    yet asked how it ended.
    """
    fields = _stat(pid)
    return None if not fields or fields[0] == "Z" else fields[19]


def members(session: int) -> list[int]:
    """The processes of a session."""
    numbers = [int(p.name) for p in PROC.iterdir() if p.name.isdigit()] if PROC.is_dir() else []
    return [n for n in numbers if (f := _stat(n)) and f[3] == str(session) and f[0] != "Z"]


def memory(session: int) -> int:
    """Bytes of memory that the processes of a session hold; 0 where the system does not say."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(fields[21]) * page for n in members(session) if (fields := _stat(n)))


def end(pid: int, grace: float = GRACE) -> None:
    """End a session's processes: asked first, so that training can save what it has."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
    until = time.monotonic() + grace
    while time.monotonic() < until and born(pid) is not None:
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    for number in members(pid):  # those that made a group of their own
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
