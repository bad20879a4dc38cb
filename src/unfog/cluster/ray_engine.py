"""Items on Ray: an actor a worker, which loads a model once; Ray places and watches them.

An item whose worker dies or takes too long is tried again elsewhere; one that its command refuses
is not, as it would be refused again.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfog.cluster.bulk import Told
from unfog.cluster.items import Item
from unfog.cluster.work import Work, do, note_failure
from unfog.errors import InputError, MissingExtra
from unfog.runs.kept import keeping_runs

ANSWER = 10.0  # seconds that an address has to answer
START = 120.0  # seconds that a worker has to start
EVERY = 1.0  # seconds between looks at the items that take too long
STORE = 80_000_000  # bytes of Ray's own store, in which nothing large lies


@dataclass(frozen=True)
class RayEngine:
    """Does items on Ray.

    Args:
        address: Of a cluster (host:port); "auto" is the one that this machine belongs to, or
            otherwise workers on this machine alone.
        workers: How many; as many as the cluster's processors serve by default.
        cpus: Processors of a worker, and threads of its computations.
        gpus: GPUs of a worker, or a share of one.
        memory: Bytes that a worker asks for; none are asked for by default.
        timeout: Seconds that an item may take, the first of a worker including the model's
            loading; any time by default.
        retries: How often an item is tried again.
    """

    address: str = "auto"
    workers: int | None = None
    cpus: int = 1
    gpus: float = 0.0
    memory: int | None = None
    timeout: float | None = None
    retries: int = 2

    def __call__(self, items: Sequence[Item], work: Work, out: Path, told: Told) -> None:
        """Do all items; the engine of ``bulk``.

        Raises:
            InputError: The cluster does not answer or has too little, or a worker is of another
                version of unfog or has other weights.
            MissingExtra: Ray is not installed.
        """
        ray = _ray()
        connect(ray, self.address, (self.workers or 1) * self.cpus)
        try:
            fleet = _Fleet(self, ray, work, out.resolve())
            fleet.do(deque((item, 1) for item in items), told)
        finally:
            ray.shutdown()

    def count(self, ray: Any, items: int) -> int:
        """How many workers to start; ``InputError`` where the cluster has too little for one."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory or 0}
        has = ray.cluster_resources()
        short = [name for name, need in asked.items() if need > has.get(name, 0)]
        if short:
            name = short[0]
            raise InputError(
                f"A worker asks for {asked[name]:g} of {name} and the cluster has "
                f"{has.get(name, 0):g}; ask for less with --cpus, --gpus or --memory."
            )
        fit = min(int(has[name] / need) for name, need in asked.items() if need)
        return max(1, min(self.workers or fit, items))


class _Worker:
    """An actor: a process that keeps its model between items."""

    def __init__(self, work: Work, out: str, threads: int) -> None:
        self.work, self.out, self.threads = work, Path(out), threads
        self.kept = ExitStack()

    def identity(self) -> Mapping[str, Any]:
        """What this worker's results depend on."""
        self.kept.enter_context(keeping_runs())
        return self.work.identity()

    def do(self, item: Item) -> str | None:
        """Do an item, and say why where it fails."""
        return do(self.work, item, self.out)


@dataclass(frozen=True)
class _Try:
    """An item at work: where, the how many-eth time, and by when it must have ended."""

    item: Item
    number: int
    worker: Any
    until: float


class _Fleet:
    """The workers, and what each is at."""

    def __init__(self, engine: RayEngine, ray: Any, work: Work, out: Path) -> None:
        self.engine, self.ray, self.work, self.out = engine, ray, work, out
        self.expected = dict(work.identity())
        options = {"num_cpus": engine.cpus, "num_gpus": engine.gpus, "memory": engine.memory}
        self.actor = ray.remote(_Worker).options(**options)

    def do(self, waiting: deque[tuple[Item, int]], told: Told) -> None:
        """Give each idle worker the next item until none is left."""
        idle = self.started(self.engine.count(self.ray, len(waiting)))
        at_work = dict[Any, _Try]()
        while waiting or at_work:
            while waiting and idle:
                item, number = waiting.popleft()
                limit = time.monotonic() + (self.engine.timeout or float("inf"))
                worker = idle.pop()
                at_work[worker.do.remote(item)] = _Try(item, number, worker, limit)
            ended, _ = self.ray.wait(list(at_work), timeout=EVERY)
            late = [ref for ref, one in at_work.items() if time.monotonic() > one.until]
            for ref in {*ended, *late}:
                one = at_work.pop(ref)
                lost = self.lost(ref) if ref in ended else self.stopped(one)
                if lost is None:
                    told(one.item, self.ray.get(ref))
                    idle.append(one.worker)
                    continue
                idle += self.started(1)
                if one.number <= self.engine.retries:
                    waiting.append((one.item, one.number + 1))
                else:
                    sentence = f"{lost}, {one.number} times."
                    note_failure(self.out, one.item.name, sentence)
                    told(one.item, sentence)

    def lost(self, ref: Any) -> str | None:
        """Why there is no answer from a worker; None where there is one."""
        try:
            self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            return f"Its worker died ({type(error).__name__})"
        return None

    def stopped(self, late: _Try) -> str:
        """Stop a worker that is late, with what it does."""
        self.ray.kill(late.worker)
        return f"It took more than {self.engine.timeout:g} s"

    def started(self, count: int) -> list[Any]:
        """New workers, held to the version and the weights that this process sees."""
        engine = self.engine
        new = [self.actor.remote(self.work, str(self.out), engine.cpus) for _ in range(count)]
        asked = [worker.identity.remote() for worker in new]
        ready, missing = self.ray.wait(asked, num_returns=count, timeout=START)
        if not ready:
            raise InputError(
                f"No worker started within {START:g} s; ask for less with --cpus, --gpus or "
                "--memory, or for fewer with --workers."
            )
        try:
            for found in self.ray.get(ready):
                self.hold_to(found)
        except self.ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()[-1]
            raise InputError(
                f"A worker does not start ({said}); install the same unfog everywhere."
            ) from error
        for worker, ref in zip(new, asked, strict=True):
            if ref in missing:
                self.ray.kill(worker)  # the cluster is busy with other work
        return [worker for worker, ref in zip(new, asked, strict=True) if ref in ready]

    def hold_to(self, found: Mapping[str, Any]) -> None:
        """``InputError`` where a worker is not as this process is."""
        for what, name in (("unfog", "version of unfog"), ("weights", "weights")):
            if found.get(what) != self.expected.get(what):
                raise InputError(
                    f"A worker has another {name} ({found.get(what)}) than this process "
                    f"({self.expected.get(what)}); install and copy the same everywhere."
                )


def connect(ray: Any, address: str, cpus: int) -> None:
    """Join a cluster, or start workers on this machine.

    Args:
        ray: The library.
        address: host:port, or "auto".
        cpus: Processors that workers on this machine alone are to have, at least.

    Raises:
        InputError: Nothing answers there.
    """
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address != "auto":
        _require_listener(address)
        _within(address, lambda: ray.init(address=address, **quiet))
        return
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError:
        ray.init(
            address="local",
            num_cpus=max(cpus, len(os.sched_getaffinity(0))),
            include_dashboard=False,
            object_store_memory=STORE,
            **quiet,
        )


def _require_listener(address: str) -> None:
    """``InputError`` unless something listens at host:port."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit()):
        raise InputError(f"--ray is auto or host:port, such as head:6379, not {address!r}.")
    try:
        socket.create_connection((host, int(port)), ANSWER).close()
    except (OSError, OverflowError) as error:
        raise _silent(address) from error


def _within(address: str, join: Any) -> None:
    """Join a cluster; ``InputError`` where what listens there does not answer in time as one."""
    failed = list[BaseException]()

    def attempt() -> None:
        try:
            join()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    with _without_stderr():  # Ray's own code says once a second that it still tries
        thread.start()
        thread.join(ANSWER)
    if thread.is_alive() or failed:
        raise _silent(address) from (failed[0] if failed else None)


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Within the block nothing comes through on standard error, from native code either."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _silent(address: str) -> InputError:
    return InputError(
        f"No Ray cluster answers at {address} within {ANSWER:g} s; check the address, or start "
        "one with `ray start --head`."
    )


def _ray() -> Any:
    """Ray, told to report no use of it; ``MissingExtra`` where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtra("cluster", "ray") from error
    return ray
