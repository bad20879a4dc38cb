"""Jobs: real commands in processes of their own, stopped, bounded, and found by the next server."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unfog.errors import InputError
from unfog.lab import process
from unfog.lab.job import (
    DONE,
    FAILED,
    RUNNING,
    STOPPED,
    WAITING,
    Job,
    Progress,
    progress_of,
    sentence_of,
)
from unfog.lab.limits import Limits
from unfog.lab.queue import Queue

SLEEPER = """
import pathlib, subprocess, sys, time
print("denoising: step 3 of 10", file=sys.stderr, flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("child.txt").write_text(str(child.pid))
time.sleep(60)
"""
BRIEF = 'import json, pathlib; pathlib.Path("result").mkdir(); print(json.dumps({"made": 1}))'


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two modules that jobs can run in place of a command: they load nothing."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "sleeper.py").write_text(SLEEPER)
    (folder / "brief.py").write_text(BRIEF)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


@contextmanager
def working(folder: Path, limits: Limits | None = None) -> Iterator[Queue]:
    queue = Queue(folder, limits or Limits())
    queue.start()
    try:
        yield queue
    finally:
        queue.close()


def wait(job: Job, *states: str, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while job.state not in states:
        assert time.monotonic() < until, job
        time.sleep(0.01)


def child_of(folder: Path) -> int:
    """The process that a sleeper began."""
    until = time.monotonic() + 20
    file = folder / "child.txt"
    while not file.is_file() or not file.read_text():
        assert time.monotonic() < until
        time.sleep(0.01)
    return int(file.read_text())


@pytest.mark.slow
def test_the_terminals_own_command_runs_and_its_sentence_comes_back(tmp_path: Path) -> None:
    with working(tmp_path) as queue:
        lay = lambda folder: (folder / "scan.png").write_bytes(b"no picture")  # noqa: E731
        line = ["inspect", "scan.png", "--json"]
        job = queue.add("restore", line, {}, lay)
        assert job.line == "unfog inspect scan.png"
        wait(job, DONE, FAILED)
    assert job.state == FAILED
    assert job.sentence.startswith("scan.png ")
    assert str(tmp_path) not in job.sentence


@pytest.mark.usefixtures("modules")
def test_one_job_at_a_time_in_their_order(tmp_path: Path) -> None:
    with working(tmp_path / "jobs") as queue:
        first = queue.add("p", [], {}, module="sleeper")
        second = queue.add("p", [], {}, module="brief")
        wait(first, RUNNING)
        assert second.state == WAITING
        assert queue.place(second) == 1
        child_of(queue.folder(first))
        assert progress_of(queue.folder(first)).done == 3
        queue.stop(first)
        wait(second, DONE)
        assert first.state == STOPPED
        assert (queue.folder(second) / "result").is_dir()


@pytest.mark.usefixtures("modules")
def test_a_stopped_job_leaves_nothing_but_its_state(tmp_path: Path) -> None:
    with working(tmp_path / "jobs") as queue:
        lay = lambda folder: (folder / "scan.nii").write_bytes(b"of a patient")  # noqa: E731
        job = queue.add("p", [], {}, lay, module="sleeper")
        wait(job, RUNNING)
        child, leader = child_of(queue.folder(job)), job.pid
        assert leader is not None
        queue.stop(job)
        wait(job, STOPPED)
        assert [p.name for p in queue.folder(job).iterdir()] == ["job.json"]
        assert process.born(child) is None
        assert process.born(leader) is None


@pytest.mark.usefixtures("modules")
def test_a_full_queue_refuses(tmp_path: Path) -> None:
    with working(tmp_path / "jobs", Limits(waiting=1)) as queue:
        first = queue.add("p", [], {}, module="sleeper")
        wait(first, RUNNING)
        queue.add("p", [], {}, module="brief")
        with pytest.raises(InputError, match="wait already"):
            queue.add("p", [], {}, module="brief")
        assert len(list((tmp_path / "jobs").iterdir())) == 2


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("limits", "words"),
    [(Limits(job_seconds=0.3), "longer than 0.3 seconds"), (Limits(job_memory=2**20), "of memory")],
)
def test_time_and_memory_are_bounded(tmp_path: Path, limits: Limits, words: str) -> None:
    with working(tmp_path / "jobs", limits) as queue:
        job = queue.add("p", [], {}, module="sleeper")
        wait(job, FAILED)
    assert words in job.sentence


@pytest.mark.usefixtures("modules")
def test_the_next_server_finds_a_job_at_work_and_those_that_wait(tmp_path: Path) -> None:
    """The first server is killed: nobody tells its job."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    job = Job("0" * 16, "p", [], {}, module="sleeper")
    (folder / job.id).mkdir()
    child = process.begin("sleeper", [], folder / job.id)
    job.state, job.began, job.pid, job.born = RUNNING, time.time(), child.pid, None
    job.born = process.born(child.pid)
    job.save(folder / job.id)
    later = Job("1" * 16, "p", [], {}, module="brief")
    (folder / later.id).mkdir()
    later.save(folder / later.id)
    with working(folder) as queue:
        found = queue.get(job.id)
        assert found is not None
        time.sleep(0.3)
        assert found.state == RUNNING
        assert queue.get(later.id).state == WAITING  # type: ignore[union-attr]
        queue.stop(found)
        wait(found, STOPPED)
        assert child.wait(5) != 0
        wait(queue.get(later.id), DONE)  # type: ignore[arg-type]


@pytest.mark.usefixtures("modules")
def test_a_job_that_died_with_its_server_has_failed(tmp_path: Path) -> None:
    job = Job("0" * 16, "p", [], {}, state=RUNNING, began=time.time(), pid=os.getpid(), born="1")
    (tmp_path / job.id).mkdir()
    job.save(tmp_path / job.id)
    with working(tmp_path) as queue:
        found = queue.get(job.id)
        assert found is not None
        wait(found, FAILED)
    assert os.getpid()  # another process of that number is not touched


@pytest.mark.usefixtures("modules")
def test_ctrl_c_puts_the_running_job_back(tmp_path: Path) -> None:
    with working(tmp_path / "jobs") as queue:
        job = queue.add("p", [], {}, module="sleeper")
        wait(job, RUNNING)
        child = child_of(queue.folder(job))
    kept = json.loads((tmp_path / "jobs" / job.id / "job.json").read_text())
    assert kept["state"] == WAITING
    assert process.born(child) is None


def test_sentences_of_options_are_typers(tmp_path: Path) -> None:
    (tmp_path / "stderr.txt").write_text("Usage: unfog\n\nError: Invalid value for '--samples'.\n")
    assert sentence_of(tmp_path) == "Invalid value for '--samples'."
    (tmp_path / "stderr.txt").write_text("Traceback\nMemoryError: secret/path\n")
    assert "secret" not in sentence_of(tmp_path)


def test_progress_is_the_newest_stage(tmp_path: Path) -> None:
    (tmp_path / "stderr.txt").write_text("denoising: step 3 of 3\nrefining ...\n")
    assert progress_of(tmp_path) == Progress("refining")
    (tmp_path / "stderr.txt").write_text("refining ...\nstep 2 of 9: loss 0.1, 0:00:05 left\n")
    assert progress_of(tmp_path) == Progress("training", 2, 9, "loss 0.1, 0:00:05 left")


def test_a_broken_state_is_left_out(tmp_path: Path) -> None:
    (tmp_path / ("a" * 16)).mkdir()
    (tmp_path / ("a" * 16) / "job.json").write_text("{")
    assert Queue(tmp_path, Limits()).jobs() == []
