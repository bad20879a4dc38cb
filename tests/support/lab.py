"""The lab served on a free port in this process, and a client that is no browser."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfog.lab.limits import Limits
from unfog.lab.security import Door
from unfog.lab.server import Lab, create_app


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def data(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A server, and requests to it as its own page would send them unless headers say otherwise."""

    lab: Lab
    door: Door

    @property
    def own(self) -> dict[str, str]:
        """The headers of a request of our own page."""
        host = f"127.0.0.1:{self.door.port}"
        cookie = f"{self.door.cookie}={self.door.session}"
        return {"Host": host, "Origin": f"http://{host}", "Cookie": cookie}

    def ask(
        self, path: str, method: str = "GET", body: Any = None, **headers: str | None
    ) -> Answer:
        """One request; a header that is None is left out."""
        told = {k.replace("_", "-"): v for k, v in headers.items()}
        sent = {k: v for k, v in (self.own | told).items() if v is not None}
        line = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=30)
        try:
            line.putrequest(method, path, skip_host=True)
            content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            for key, value in sent.items():
                line.putheader(key, value)
            if content is not None and "Content-Length" not in sent:
                line.putheader("Content-Length", str(len(content)))
            line.endheaders(content)
            got = line.getresponse()
            found = {k.lower(): v for k, v in got.getheaders()}
            return Answer(got.status, found, got.read())
        finally:
            line.close()

    def drop(self, path: Path | None = None, ending: str = "", content: bytes = b"") -> Answer:
        """A file that is dropped."""
        if path is not None:
            content, ending = path.read_bytes(), path.name.partition(".")[2]
        return self.ask(f"/files?ending={ending}", "POST", content)

    def wait(self, job: str, *states: str, seconds: float = 60) -> str:
        """The state of a job, once it is one of these."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = self.lab.queue.get(job)
            if found is not None and found.state in states:
                return found.state
            time.sleep(0.02)
        raise AssertionError(f"The job is {found}, not {states}.")


@contextmanager
def served(root: Path, limits: Limits | None = None) -> Iterator[Served]:
    """The lab of a folder, served while the block runs."""
    import uvicorn

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        door = Door("127.0.0.1", listening.getsockname()[1])
        lab = Lab(root, limits or Limits())
        config = uvicorn.Config(
            create_app(lab, door), access_log=False, log_level="error", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield Served(lab, door)
        finally:
            server.should_exit = True
            thread.join(20)
