"""Whether the machine has room for what a file says it holds, before it is allocated."""

from __future__ import annotations

from pathlib import Path

from unfog.errors import InputError

MEMORY_CAP = 8 << 30  # bytes of one array, on any machine
SHARE = 0.75  # of the free memory that one array may take


def free_memory() -> float | None:
    """The main memory in bytes that is free for this process; None where the system does not
    say.
    """
    free = list[float]()
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free.append(1024.0 * int(line.split()[1]))
        # What a container's limit leaves.
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            used = float(Path("/sys/fs/cgroup/memory.current").read_text())
            free.append(max(0.0, float(limit) - used))
    except (OSError, ValueError):
        pass
    return min(free) if free else None


def require_room(file: Path, what: str, size: int) -> None:
    """``InputError`` where an array would not fit into memory.

    Args:
        file: Where it comes from.
        what: What it is called there.
        size: Its bytes, an exact (Python) integer.
    """
    free = free_memory()
    most = MEMORY_CAP if free is None else min(MEMORY_CAP, int(SHARE * free))
    if size > most:
        raise InputError(
            f"{file.name} asks for {gigabytes(size)} in {what}, and {gigabytes(most)} can be held; "
            "split it, or close other programs."
        )


def gigabytes(size: float) -> str:
    """Bytes in words.

    >>> gigabytes(8 << 30)
    '8.59 GB'
    """
    return f"{size / 1e9:.3g} GB"
