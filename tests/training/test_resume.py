"""A run that was broken ends as one that was not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from unfog.errors import InputError
from unfog.training import checkpoint, config_record
from unfog.training.config_record import changes
from unfog.training.guard import Interrupted, locked
from unfog.training.identity import FREE, hash_of

SCRIPT = Path(__file__).with_name("conftest.py")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "bf16"},
        {"log_every": 5},
        {"checkpoint_every": 100},
        {"snapshot_every": 5},
        {"objective": "learned-weight"},
    ],
)
def test_resumed_run_is_the_unbroken_run_bit_for_bit(tiny, tmp_path, changes):
    tiny.train(tmp_path / "unbroken", **changes)

    def stop(step, loss, rate):
        if step == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        tiny.train(tmp_path / "broken", callback=stop, **changes)
    torch.manual_seed(123)  # the global stream must not matter
    tiny.train(tmp_path / "broken", resume=True, **changes)
    assert tiny.content(tmp_path / "broken") == tiny.content(tmp_path / "unbroken")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [("random", "20"), ("writes",)], ids=["20 random instants", "every write"]
)
def test_killed_run_ends_as_the_unbroken_one(tiny, tmp_path, arguments):
    command = [sys.executable, str(SCRIPT), arguments[0], str(tmp_path), *arguments[1:]]
    done = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if arguments[0] == "random":
        assert tiny.content(tmp_path / "broken") == tiny.content(tmp_path / "unbroken")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_saves_and_says_its_exit_code(tiny, tmp_path, number, code):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught:
        tiny.train(
            tmp_path / "run",
            callback=lambda step, *_: os.kill(os.getpid(), number) if step == 4 else None,
        )
    assert (caught.value.code, caught.value.step) == (code, 4)
    assert checkpoint.load_newest(tmp_path / "run").state["step"] == 4
    assert signal.getsignal(number) is before


def test_finished_run_may_be_given_more_steps(tiny, tmp_path):
    tiny.train(tmp_path / "long", decay="constant")
    tiny.train(tmp_path / "run", decay="constant", steps=6)
    assert tiny.train(tmp_path / "run", decay="constant", resume=True).step == 12
    assert tiny.content(tmp_path / "run") == tiny.content(tmp_path / "long")
    assert (
        tiny.train(tmp_path / "run", decay="constant", resume=True).step == 12
    )  # nothing left to do
    with pytest.raises(InputError, match="step 12 already"):
        tiny.train(tmp_path / "run", decay="constant", steps=6, resume=True)


def test_a_new_cosine_is_told(tiny, tmp_path, caplog):
    tiny.train(tmp_path / "run", steps=6)
    tiny.train(tmp_path / "run", resume=True)
    assert "laid out anew over 12 steps instead of 6" in caplog.text


def test_changed_data_and_config_are_refused(tiny, tmp_path, monkeypatch):
    tiny.train(tmp_path / "run", steps=3)
    with pytest.raises(InputError, match="config changed"):
        tiny.train(tmp_path / "run", resume=True, lr=2e-3)
    other = tiny.dataset(seed=1)
    monkeypatch.setattr(tiny, "dataset", lambda: other)
    with pytest.raises(InputError, match="data changed"):
        tiny.train(tmp_path / "run", resume=True)


def test_a_run_from_before_there_were_snapshots_or_a_head_rate_goes_on(tiny):
    """Settings that came later do not change the hash of runs that leave them alone."""
    settings, known = tiny.settings(), {"snapshot_every", "snapshot_lengths", "head_rate"}
    old = {key: value for key, value in asdict(settings).items() if key not in {*FREE, *known}}
    wanted = hashlib.sha256(
        checkpoint.to_json({"config": {"a": 1, "training": {}}, "settings": old})
    ).hexdigest()
    assert hash_of({"a": 1}, settings) == wanted
    assert wanted not in (
        hash_of({"a": 1}, tiny.settings(**change))
        for change in ({"snapshot_every": 5}, {"head_rate": 5.0})
    )


def test_another_number_of_threads_is_warned_of(tiny, tmp_path, caplog, monkeypatch):
    tiny.train(tmp_path / "run", steps=3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    tiny.train(tmp_path / "run", resume=True)
    assert "threads was 1 and is now 7" in caplog.text


def test_folder_is_respected(tiny, tmp_path):
    with pytest.raises(InputError, match="no run"):
        tiny.train(tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="no run"):
        tiny.train(tmp_path, resume=True)  # a folder, but not a run's
    assert not list(tmp_path.iterdir())
    tiny.train(tmp_path / "run", steps=3)
    with pytest.raises(InputError, match="not empty"):
        tiny.train(tmp_path / "run")
    with locked(tmp_path / "run"), pytest.raises(InputError, match="Another process"):
        tiny.train(tmp_path / "run", resume=True)


def test_metrics_are_the_same_in_both_files(tiny, tmp_path):
    tiny.train(tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    lines = (tmp_path / "run/metrics.csv").read_text().splitlines()
    assert lines[0] == "step,loss,lr,grad_norm"
    assert lines[1:] == [",".join(repr(row[key]) for key in lines[0].split(",")) for row in rows]
    assert [row["step"] for row in rows] == list(range(1, 13))


def test_metrics_that_were_cut_are_refused(tiny, tmp_path):
    tiny.train(tmp_path / "run", steps=3)
    (tmp_path / "run/metrics.csv").write_text("step\n")
    with pytest.raises(InputError, match=r"metrics\.csv is shorter"):
        tiny.train(tmp_path / "run", resume=True)


@pytest.mark.parametrize("name", ["metrics.csv", "metrics.jsonl"])
def test_metrics_that_were_damaged_are_refused(tiny, tmp_path, name):
    tiny.train(tmp_path / "run", steps=3)
    path = tmp_path / "run" / name
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is not as it was when"):
        tiny.train(tmp_path / "run", resume=True)
    assert path.read_bytes() == content


def test_a_run_killed_before_its_config_can_be_begun_again(tiny, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("lock", "recorded.json", ".tmp-config.yaml"):
        (run / name).touch()
    tiny.train(run, steps=3)
    assert checkpoint.load_newest(run).state["step"] == 3
    assert changes(run) == []


def test_either_config_is_right_while_one_replaces_the_other(tmp_path, monkeypatch):
    """Killed at each write of a change of config, a run holds a config that verifies."""
    old, new = b"training: {lr: 0.1}\n", b"training: {lr: 0.2}\n"
    real = config_record.replace_durably
    for stop in range(4):
        run = tmp_path / str(stop)
        run.mkdir()
        config_record.write_config(run, old)
        left = iter(range(stop))

        def replace(path, content, left=left):
            if next(left, None) is None:
                raise OSError
            real(path, content)

        monkeypatch.setattr(config_record, "replace_durably", replace)
        with contextlib.suppress(OSError):
            config_record.write_config(run, new)
        monkeypatch.setattr(config_record, "replace_durably", real)
        assert (run / "config.yaml").read_bytes() == (new if stop >= 2 else old)
        assert changes(run) == []
        config_record.write_config(run, new)
        (run / "config.yaml").write_bytes(old)
        assert changes(run) == ["training.lr: 0.2 -> 0.1"]
