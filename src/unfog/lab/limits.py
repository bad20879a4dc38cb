"""What the page bounds: sizes, numbers and times, in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from unfog.files.nifti import VOXEL_CAP

MEBI = 2**20


def _most_memory() -> int:
    """Three quarters of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4


@dataclass(frozen=True)
class Limits:
    """The caps of a server.

    Args:
        upload: Bytes of one file.
        form: Bytes of any other request.
        voxels: That a header may declare, over all axes.
        members: Files in a zip.
        unpacked: Bytes of all of a zip's files together, as they are counted while unpacked.
        ratio: Times that a zip's member may be larger than its packed form.
        uploads: Uploads that are kept; the oldest goes first.
        kept: Bytes of all of them together, but for the newest.
        waiting: Jobs in the queue besides the one that runs.
        streams: Open streams of events.
        job_seconds: That a job may run.
        job_memory: Bytes that a job's processes may hold together.
    """

    upload: int = 4096 * MEBI
    form: int = 64 * 1024
    voxels: int = VOXEL_CAP
    members: int = 20_000
    unpacked: int = 8192 * MEBI
    ratio: int = 200
    uploads: int = 24
    kept: int = 16384 * MEBI
    waiting: int = 8
    streams: int = 32
    job_seconds: float = 12 * 3600.0
    job_memory: int = field(default_factory=_most_memory)
