"""Trackers hold what the log holds, read back with each library's own reader or format."""

from __future__ import annotations

import importlib.util
import json
import logging
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke

from unfog.errors import InputError, MissingExtra
from unfog.training.tracking import TRACKED, Tracking, trackers


def rows(run):
    """(step, figure, value) of every figure in the log."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text("utf-8").splitlines())
    return Counter((one["step"], k, v) for one in lines for k, v in one.items() if k != "step")


def of_tensorboard(run):
    """The scalars of an event file: records of a length, its checksum, an event, its checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = Counter()
    for file in (run / "tensorboard").iterdir():
        content, at = file.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
            at += length + 16
            values = [v for v in event.summary.value if v.HasField("simple_value")]
            found.update((event.step, v.tag, v.simple_value) for v in values)
    return found


def of_mlflow(run):
    client = pytest.importorskip("mlflow.tracking").MlflowClient(
        f"sqlite:///{run.parent / 'mlflow.db'}"
    )
    mine = json.loads((run / TRACKED).read_text("utf-8"))["mlflow"]
    assert client.get_run(mine).info.run_name == run.name
    assert client.get_run(mine).info.status == "FINISHED"
    assert client.get_run(mine).data.params["system"] == "tiny"
    keys = client.get_run(mine).data.metrics
    return Counter((m.step, k, m.value) for k in keys for m in client.get_metric_history(mine, k))


def of_wandb(run):
    """The history in a run's file: a header, then blocks of 32 KiB of records in pieces, each with
    a checksum, a length and a kind (LevelDB's log).
    """
    pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    (file,) = (run.parent / "wandb").glob("offline-run-*/*.wandb")
    content, at, record, found = file.read_bytes(), 7, b"", Counter()
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        length, kind = struct.unpack_from("<HB", content, at + 4)
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or its last piece
            items = pb.Record.FromString(record).history.item
            row = {(i.key or i.nested_key[0]): json.loads(i.value_json) for i in items}
            step = row.get("_step")
            found.update((step, k, v) for k, v in row.items() if not k.startswith("_"))
            record = b""
    return found


def of_trackio(run):
    storage = pytest.importorskip("trackio.sqlite_storage").SQLiteStorage
    mine = json.loads((run / TRACKED).read_text("utf-8"))["trackio"]
    logs = storage.get_logs("unfog", mine)
    return Counter(
        (one["step"], k, v)
        for one in logs
        for k, v in one.items()
        if k in ("loss", "lr", "grad_norm")
    )


READERS = {
    "tensorboard": ("tensorboardX", of_tensorboard),
    "mlflow": ("mlflow", of_mlflow),
    "wandb": ("wandb", of_wandb),
    "trackio": ("trackio", of_trackio),
}


def stop_at(last):
    def stop(step, loss, rate):
        if step == last:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("name", READERS)
def test_tracker_holds_the_log_of_a_run_that_was_broken_and_resumed(
    tiny, tmp_path, monkeypatch, name
):
    package, read = READERS[name]
    pytest.importorskip(package)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    tiny.train(tmp_path / "plain")
    run = tmp_path / "tracked"
    # Two steps past the checkpoint of step 6: they are trained again, and are not to be doubled.
    with pytest.raises(KeyboardInterrupt):
        tiny.train(run, callback=stop_at(8), track=[name])
    tiny.train(run, resume=True, track=[name])
    assert tiny.content(run) == tiny.content(tmp_path / "plain")
    wanted, found = rows(run), read(run)
    assert len(wanted) == 3 * 12
    if name == "tensorboard":  # which keeps float32
        wanted = Counter({(s, k, float(np.float32(v))): n for (s, k, v), n in wanted.items()})
    assert found == wanted


def test_tensorboard_itself_reads_the_same(tiny, tmp_path):
    pytest.importorskip("tensorboardX")
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tiny.train(tmp_path / "run", track=["tensorboard"])
    read = accumulators.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    read.Reload()
    found = {(one.step, one.value) for one in read.Scalars("loss")}
    assert found == {(s, float(np.float32(v))) for s, k, v in rows(tmp_path / "run") if k == "loss"}


class Kept:
    """A tracker in memory, which fails at one step."""

    package, held, fails = "json", {}, None

    def begin(self, run, config, known):
        self.rows = self.held.setdefault(known or run.name, {})
        return known or run.name, max(self.rows, default=0)

    def log(self, step, figures):
        if step == self.fails:
            raise OSError("no space left on device\nand more")
        assert step not in self.rows
        self.rows[step] = dict(figures)

    def end(self, finished):
        self.ended = finished


@pytest.fixture
def kept(monkeypatch):
    monkeypatch.setitem(trackers._entries, "kept", Kept)
    monkeypatch.setattr(Kept, "held", {})
    return Kept


def test_tracker_that_fails_is_said_once_and_given_the_rest_later(
    tiny, tmp_path, kept, monkeypatch, caplog
):
    tiny.train(tmp_path / "plain")
    monkeypatch.setattr(kept, "fails", 5)
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        tiny.train(tmp_path / "run", callback=stop_at(8), track=["kept"])
    said = [r.message for r in caplog.records if "kept" in r.message]
    assert len(said) == 1
    assert "OSError: no space left on device)" in said[0]
    assert sorted(kept.held["run"]) == [1, 2, 3, 4]
    monkeypatch.setattr(kept, "fails", None)
    tiny.train(tmp_path / "run", resume=True, track=["kept"])
    assert sorted(kept.held["run"]) == list(range(1, 13))
    assert tiny.content(tmp_path / "run") == tiny.content(tmp_path / "plain")


def test_tracker_that_comes_late_is_given_all_and_one_that_cannot_begin_nothing(
    tiny, tmp_path, kept, monkeypatch, caplog
):
    with pytest.raises(KeyboardInterrupt):
        tiny.train(tmp_path / "run", callback=stop_at(8))
    tiny.train(tmp_path / "run", resume=True, track=["kept"])
    held = {(s, k, v): 1 for s, row in kept.held["run"].items() for k, v in row.items()}
    assert held == rows(tmp_path / "run")
    monkeypatch.setattr(kept, "begin", lambda *_: 1 / 0)
    tiny.train(tmp_path / "other", track=["kept"])
    assert "ZeroDivisionError" in caplog.text
    assert list(kept.held) == ["run"]


def test_skipped_step_is_tracked_as_its_number_of_samples(tmp_path, kept):
    with Tracking({"kept": kept()}, tmp_path, {}) as tracking:
        tracking.row({"step": 3, "skipped": [4, 5]})
    assert kept.held[tmp_path.name] == {3: {"skipped": 2.0}}


def test_unknown_or_missing_tracker_is_named_before_a_folder_is_made(tiny, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="Unknown tracker 'tensorbord'; did you mean"):
        tiny.train(tmp_path / "run", track=["tensorbord"])
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "wandb" else there(name, *a)
    )
    with pytest.raises(MissingExtra, match=r"wandb is not installed; .* 'unfog\[wandb\]'"):
        tiny.train(tmp_path / "run", track=["wandb"])
    line = f"train ddpm --data fashion-mnist --out {tmp_path / 'run'} --steps 2 --track wandb"
    code, _, said = invoke(line)
    assert (code, "unfog[wandb]" in said) == (2, True)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_tracker_of_a_run_that_was_killed_holds_each_step_once(tiny, tmp_path):
    pytest.importorskip("tensorboardX")
    script = Path(__file__).with_name("conftest.py")
    killed = (
        "import os, runpy, signal, sys; from pathlib import Path\n"
        f"Tiny = runpy.run_path({str(script)!r})['Tiny']\n"
        "Tiny().train(Path(sys.argv[1]), track=['tensorboard'],\n"
        "    callback=lambda s, *_: os.kill(os.getpid(), signal.SIGKILL) if s == 8 else None)\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(tmp_path / "run")], check=False)
    assert done.returncode == -9
    tiny.train(tmp_path / "run", resume=True, track=["tensorboard"])
    steps = Counter(step for step, *_ in of_tensorboard(tmp_path / "run").elements())
    assert steps == dict.fromkeys(range(1, 13), 3)
