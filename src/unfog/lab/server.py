"""``unfog lab``: the application put together, and served."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from unfog.errors import InputError, MissingExtra
from unfog.lab.limits import Limits
from unfog.lab.queue import Queue
from unfog.lab.runs_folder import RunsFolder
from unfog.lab.security import Application, Door, Gate, is_loopback
from unfog.lab.uploads import Uploads

KEPT = ".lab"  # in the folder of runs: jobs and uploads
CONNECTIONS = 128
NEEDED = ("fastapi", "uvicorn", "jinja2")


class Lab:
    """What the pages share: the runs, the queue and the uploads of one folder."""

    def __init__(self, root: Path, limits: Limits) -> None:
        kept = root / KEPT
        kept.mkdir(parents=True, exist_ok=True)
        os.chmod(kept, 0o700)  # what is dropped is for its owner
        self.limits = limits
        self.runs = RunsFolder(root)
        self.queue = Queue(kept / "jobs", limits)
        self.uploads = Uploads(kept / "uploads", limits)
        self.streams = 0


def require_extra() -> None:
    """``MissingExtra`` where a package of the page is not installed."""
    from importlib.util import find_spec

    for package in NEEDED:
        if find_spec(package) is None:
            raise MissingExtra("lab", package)


def create_app(lab: Lab, door: Door) -> Application:
    """The application behind its gate.

    Args:
        lab: Runs, queue and uploads; the queue works while the application is served.
        door: Its secrets and names.

    Returns:
        An ASGI application.
    """
    require_extra()
    from fastapi import FastAPI

    from unfog.lab import routes

    @asynccontextmanager
    async def at_work(_: Any) -> AsyncIterator[None]:
        lab.queue.start()
        yield
        lab.queue.close()

    # No page that describes the interface: it would fetch scripts from elsewhere.
    app = FastAPI(lifespan=at_work, docs_url=None, redoc_url=None, openapi_url=None)
    routes.add(app, lab)
    return Gate(app, door, lab.limits)


def serve(root: Path, host: str, port: int, limits: Limits | None = None) -> None:
    """Serve the lab until it is interrupted.

    Args:
        root: The folder of runs, which is made where it is missing.
        host: The address to listen on.
        port: Its port; 0 takes a free one.
        limits: The caps.

    Raises:
        InputError: The extra is missing, or the address cannot be had.
    """
    require_extra()
    import socket

    import uvicorn

    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file; give the folder that holds your runs.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        raise InputError(
            f"Port {port} of {host} cannot be had: {error.strerror}; choose another --port."
        ) from error
    with listening:
        listening.listen()  # whoever opens the address at once waits, and is not refused
        door = Door(host, listening.getsockname()[1])
        lab = Lab(root, limits or Limits())
        _say(door)
        # No log of requests: addresses of pages and errors stay on the machine's screen alone.
        settings = uvicorn.Config(
            create_app(lab, door),
            access_log=False,
            log_level="critical",
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=2,
        )
        uvicorn.Server(settings).run([listening])


def _say(door: Door) -> None:
    """Print the address to open."""
    import sys

    lines = [f"Open {door.address}", "Ctrl-C stops it; jobs that are at work begin anew next time."]
    if not is_loopback(door.host):
        lines.append("Others on this network can reach it; whoever has this address may use it.")
    print(*lines, sep="\n", file=sys.stderr, flush=True)  # noqa: T201
