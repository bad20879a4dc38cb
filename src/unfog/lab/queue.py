"""The queue: one job at a time, its state on disk, so that a reload of the page or a new start of
the server finds it as it is.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from unfog.errors import InputError
from unfog.lab import process
from unfog.lab.job import (
    DONE,
    ENDED,
    FAILED,
    RUNNING,
    STOPPED,
    WAITING,
    Job,
    empty,
    result_of,
    sentence_of,
)
from unfog.lab.limits import Limits

ID = re.compile(r"[0-9a-f]{16}")
LOOK = 0.1  # seconds between looks at the process
LOOK_AT_MEMORY = 10  # looks


def new_id() -> str:
    """A name that says nothing."""
    return secrets.token_hex(8)


@dataclass
class _Running:
    """The job at work."""

    job: Job
    child: subprocess.Popen[bytes] | None  # None where an earlier server began it


class Queue:
    """Jobs in ``folder``, of which one runs at a time in a thread of its own."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._limits = folder, limits
        found = (Job.load(path) for path in folder.iterdir() if ID.fullmatch(path.name))
        self._jobs = {job.id: job for job in sorted(filter(None, found), key=lambda j: j.made)}
        self._changed = threading.Condition()
        self._closing = False
        self._to_stop: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="unfog-lab-queue", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Stop: the running job is ended and waits again, for the next server."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(process.GRACE + 5)

    def folder(self, job: Job) -> Path:
        """Where a job lies."""
        return self._folder / job.id

    def jobs(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._changed:
            return sorted(self._jobs.values(), key=lambda job: -job.made)

    def get(self, name: str) -> Job | None:
        """The job of this id."""
        with self._changed:
            return self._jobs.get(name)

    def place(self, job: Job) -> int:
        """How many jobs are before this one."""
        with self._changed:
            before = [j for j in self._jobs.values() if j.state not in ENDED and j.made < job.made]
            return len(before)

    def add(
        self,
        page: str,
        arguments: Sequence[str],
        fields: Mapping[str, str],
        lay: Callable[[Path], None] = lambda folder: None,
        module: str = "unfog",
        after: str = "",
        again: Sequence[str] = (),
    ) -> Job:
        """A new job at the end of the queue.

        Args:
            page: The page that asks.
            arguments: The command line after ``unfog``.
            fields: What its form held.
            lay: Lays the input files into the job's folder.
            module: What the arguments are of.
            after: A module that is run on the results.
            again: What is added when the job was interrupted and begins once more.

        Returns:
            The job.

        Raises:
            InputError: The queue is full, or the disk is.
        """
        job = Job(new_id(), page, list(arguments), dict(fields), module=module, after=after)
        job.again = list(again)
        with self._changed:
            waiting = sum(j.state == WAITING for j in self._jobs.values())
            if waiting >= self._limits.waiting:
                raise InputError(f"{waiting} jobs wait already; stop one or wait for one to end.")
            folder = self.folder(job)
            try:
                folder.mkdir()
                lay(folder)
                job.save(folder)
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise InputError(f"The job could not be laid down: {error.strerror}.") from error
            self._jobs[job.id] = job
            self._changed.notify_all()
        return job

    def stop(self, job: Job) -> None:
        """End a job; what it has written vanishes, and its state stays."""
        with self._changed:
            if job.state == WAITING:
                self._end(job, STOPPED)
            elif job.state == RUNNING:
                self._to_stop.add(job.id)
            self._changed.notify_all()

    def remove(self, job: Job) -> None:
        """Forget a job that has ended, and all that it wrote."""
        with self._changed:
            if job.state in ENDED and self._jobs.pop(job.id, None) is not None:
                shutil.rmtree(self.folder(job), ignore_errors=True)

    def _next(self) -> Job | None:
        """The job to work on: one that an earlier server began, or the first that waits."""
        order = sorted(self._jobs.values(), key=lambda job: job.made)
        for state in (RUNNING, WAITING):
            for job in order:
                if job.state == state:
                    return job
        return None

    def _work(self) -> None:
        """The thread: one job after the other."""
        while True:
            with self._changed:
                while not self._closing and (job := self._next()) is None:
                    self._changed.wait()
                if self._closing:
                    return
                assert job is not None
                running = self._begin(job)
            if running is not None:
                self._watch(running)

    def _begin(self, job: Job) -> _Running | None:
        """Start a job's process, or find the one that an earlier server started."""
        if job.state == RUNNING:
            return _Running(job, None)
        try:
            child = process.begin(job.module, job.arguments, self.folder(job))
        except OSError as error:
            job.sentence = f"The command could not be started: {error.strerror}."
            self._end(job, FAILED)
            return None
        job.state, job.began = RUNNING, time.time()
        self._note(job, child)
        return _Running(job, child)

    def _note(self, job: Job, child: subprocess.Popen[bytes]) -> None:
        """Write down which process is at work, for the next server."""
        job.pid, job.born = child.pid, process.born(child.pid)
        job.save(self.folder(job))

    def _alive(self, running: _Running) -> bool:
        """Whether the job's process is at work."""
        if running.child is not None:
            return running.child.poll() is None
        pid, birth = running.job.pid, running.job.born
        return pid is not None and birth is not None and process.born(pid) == birth

    def _watch(self, running: _Running) -> None:
        """Wait for a job's process, and for the one after it; end them where it must be."""
        job, status = running.job, None
        if not self._waited(running):
            return
        if running.child is not None:
            status = running.child.returncode
            process.end(running.child.pid, 0)  # what it left behind
            if status == 0 and job.after:
                after = process.begin(job.after, [], self.folder(job), "after.txt")
                self._note(job, after)
                if not self._waited(_Running(job, after)):
                    return
                process.end(after.pid, 0)
        self._ended(job, status)

    def _waited(self, running: _Running) -> bool:
        """Wait for a process; False where it had to be ended."""
        job, looks = running.job, 0
        while self._alive(running):
            reason = self._reason(job, looks)
            if reason is not None:
                assert job.pid is not None
                process.end(job.pid)
                if running.child is not None:
                    running.child.wait()
                self._ended_early(job, reason)
                return False
            looks += 1
            with self._changed:
                self._changed.wait(LOOK)
        return True

    def _reason(self, job: Job, looks: int) -> str | None:
        """Why a running job is to end now: a state, or a sentence."""
        with self._changed:
            if job.id in self._to_stop:
                return STOPPED
            if self._closing:
                return WAITING
        if time.time() - (job.began or 0) > self._limits.job_seconds:
            return f"The job ran longer than {self._limits.job_seconds:g} seconds and was ended."
        if looks % LOOK_AT_MEMORY == 0 and job.pid is not None:
            held = process.memory(job.pid)
            if held > self._limits.job_memory:
                most = self._limits.job_memory
                return f"The job held {held} bytes of memory, more than {most}, and was ended."
        return None

    def _ended_early(self, job: Job, reason: str) -> None:
        """A job that was ended: it waits again, was stopped, or failed; its results are gone."""
        with self._changed:
            self._to_stop.discard(job.id)
            job.pid = job.born = None
            if reason == WAITING:
                shutil.rmtree(self.folder(job) / "tmp", ignore_errors=True)
                job.state, job.began = WAITING, None
                job.arguments, job.again = [*job.arguments, *job.again], []
                job.save(self.folder(job))
                return
            job.sentence = "" if reason == STOPPED else reason
            self._end(job, STOPPED if reason == STOPPED else FAILED)

    def _ended(self, job: Job, status: int | None) -> None:
        """A job whose process ended by itself. One that an earlier server began gives no exit
        status; a command that ended well has printed its summary.
        """
        folder = self.folder(job)
        well = result_of(folder) is not None and status in (0, None)
        shutil.rmtree(folder / "tmp", ignore_errors=True)
        with self._changed:
            self._to_stop.discard(job.id)
            job.sentence = "" if well else sentence_of(folder)
            self._end(job, DONE if well else FAILED)

    def _end(self, job: Job, state: str) -> None:
        """Write a job's last state, and then let the pages see it."""
        last = replace(job, state=state, ended=time.time(), pid=None, born=None)
        folder = self.folder(job)
        if state == STOPPED:
            empty(folder)
        with suppress(OSError):  # the disk is full: the state in memory stands
            last.save(folder)
        job.state, job.ended, job.pid, job.born = state, last.ended, None, None


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """A file or a folder of files at another place too, without copying where the disk can."""
    if Path(source).is_dir():
        shutil.copytree(source, target, copy_function=link_or_copy)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
