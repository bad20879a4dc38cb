"""The memory this process uses, has used at most, and could use; of a GPU where there is one."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import torch

from unfog.files.room import free_memory


def _status(field: str) -> float | None:
    """A field of this process in bytes, where the system tells it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return 1024.0 * int(found[0]) if found else None


def resident() -> float:
    """The memory that this process holds already, which a training process would hold too."""
    return 0.0 if torch.cuda.is_available() else _status("VmRSS") or 0.0


def reset_peak() -> None:
    """Forget the peak so far, where the system can."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    # Where it cannot, the peak is that of the process, an upper bound.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """The largest memory since the peak was reset, in bytes."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    told = _status("VmHWM")
    unit = 1.0 if sys.platform == "darwin" else 1024.0
    return told or unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def available() -> float | None:
    """The memory in bytes that is free for this process; None where the system does not say."""
    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[0])
    return free_memory()
