"""Commands that a signal ends say so in one line, with what is saved, and leave no scratch folder;
work off a terminal shows a sign of life.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from unfog import progress as lines
from unfog.cli.options import stopped
from unfog.progress import progress, training_progress
from unfog.training.guard import Interrupted

TINY = "--set training.batch=4 --set network.channels=8 --set network.groups=4"


def started(line: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "unfog", *line.split()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def ended(process: subprocess.Popen[str], when: Callable[[], bool], number: int) -> tuple[int, str]:
    """Exit status and last line of stderr of a process that gets a signal as soon as it may."""
    limit = time.monotonic() + 60
    while not when() and time.monotonic() < limit and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    err = process.communicate(timeout=60)[1]
    assert "Traceback" not in err
    return process.returncode, err.splitlines()[-1] if err else ""


def test_what_is_said_of_a_stopped_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    again = f"go on with: unfog train edm --out {run} --resume"
    stop = Interrupted(143, 7)
    assert stopped("unfog train edm", run, stop).exit_code == 143
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("")
    assert stopped("unfog train edm", run, KeyboardInterrupt()).exit_code == 130
    for name in ("step-00000009", "step-00000010", "step-mine"):
        (run / "checkpoints" / name).mkdir()
    stopped("unfog train edm", run, stop)
    assert capsys.readouterr().err.splitlines() == [
        "unfog: stopped: nothing is saved yet; give the same command again",
        f"unfog: stopped: no step is saved yet; {again}",
        f"unfog: stopped: step 10 is saved; {again}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_says_what_is_saved_and_how_to_go_on(
    tmp_path: Path, number: int, status: int
) -> None:
    run = tmp_path / "run"
    process = started(f"train edm --data digits --out {run} --steps 100000 {TINY}")
    log = run / "metrics.jsonl"
    code, said = ended(process, lambda: log.is_file() and log.stat().st_size > 500, number)
    assert code == status
    step = max(int(path.name[5:]) for path in (run / "checkpoints").iterdir())
    again = f"go on with: unfog train edm --out {run} --resume"
    assert said == f"unfog: stopped: step {step} is saved; {again}"


@pytest.mark.parametrize(
    "seconds", [0.3, *(pytest.param(k / 4, marks=pytest.mark.slow) for k in range(1, 17))]
)
def test_a_signal_before_the_first_step_is_no_traceback(tmp_path: Path, seconds: float) -> None:
    begun = time.monotonic()
    process = started(f"train edm --data digits --out {tmp_path / 'run'} --steps 100000 {TINY}")
    code, said = ended(process, lambda: time.monotonic() > begun + seconds, signal.SIGTERM)
    assert code in (143, -signal.SIGTERM)  # the latter before Python itself has begun
    assert code < 0 or said.startswith("unfog: stopped")


@pytest.mark.slow
def test_sigterm_takes_scratch_folders_away(run: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(size=(64, 1, 8, 8)))
    line = f"restore {run} {tmp_path}/x.npy --task denoise --noise 0.1 --samples 64 --steps 1000"
    seen = list[Path]()

    def working() -> bool:
        seen.extend(tmp_path.glob(".unfog-*"))
        return bool(seen)

    code, said = ended(started(f"{line} --out {tmp_path}/out"), working, signal.SIGTERM)
    assert seen  # there was a scratch folder
    assert (code, said) == (143, "unfog: stopped; no result was written.")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_plain_lines_come_from_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "FIRST", 0.05)
    monkeypatch.setattr(lines, "EVERY", 0.1)
    stream = io.StringIO()
    with progress("restoring", Console(file=stream)) as report:
        time.sleep(0.1)  # before the first step
        report(3, 7)
        time.sleep(0.25)
    told = stream.getvalue().splitlines()
    assert told[0] == "restoring ..."
    assert told[1] == "restoring: step 3 of 7"
    assert 2 <= len(told) <= 4
    time.sleep(0.15)
    assert stream.getvalue().splitlines() == told  # nothing after the work


def test_short_work_prints_nothing_and_training_its_ends() -> None:
    stream = io.StringIO()
    with progress("restoring", Console(file=stream)) as report:
        report(1, 1)
    assert stream.getvalue() == ""
    with training_progress(3, Console(file=stream)) as step:
        for k in (1, 2, 3):
            step(k, 0.5, 10.0)
    assert [line[:11] for line in stream.getvalue().splitlines()] == ["step 1 of 3", "step 3 of 3"]
