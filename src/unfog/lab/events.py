"""The state of a job as server-sent events, until it has ended."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from unfog.errors import InputError
from unfog.lab import answers
from unfog.lab.job import ENDED, Job, progress_of
from unfog.lab.queue import ID

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from unfog.lab.server import Lab

EVERY = 0.25  # seconds between looks
ALIVE = 15.0  # seconds after which silence is broken, so that a lost connection is noticed


def state_of(lab: Lab, job: Job) -> dict[str, Any]:
    """What a page shows of a job that has not ended."""
    now = progress_of(lab.queue.folder(job))
    return {
        "state": job.state,
        "before": lab.queue.place(job) if job.state == "waiting" else 0,
        "title": now.title,
        "done": now.done,
        "total": now.total,
        "note": now.note,
        "seconds": round(time.time() - job.began) if job.began else 0,
        "sentence": job.sentence,
    }


async def events(lab: Lab, request: Request) -> Response:
    """The stream of a job's states."""
    name = request.path_params["job"]
    job = lab.queue.get(name) if ID.fullmatch(name) else None
    if job is None:
        raise InputError("There is no such job; it may have been removed.")
    if lab.streams >= lab.limits.streams:
        return answers.sentence("Too many pages watch jobs; close some.", 429)
    return answers.stream(_stream(lab, job, request), "text/event-stream")


async def _stream(lab: Lab, job: Job, request: Request) -> AsyncIterator[str]:
    """An event whenever the state is another."""
    lab.streams += 1
    try:
        last, told = "", time.monotonic()
        while not await request.is_disconnected():
            text = json.dumps(state_of(lab, job))
            if text != last or time.monotonic() - told > ALIVE:
                last, told = text, time.monotonic()
                yield f"data: {text}\n\n"
            if job.state in ENDED:
                return
            await asyncio.sleep(EVERY)
    finally:
        lab.streams -= 1
