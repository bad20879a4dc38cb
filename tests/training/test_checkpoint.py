"""Checkpoints under a failing disk: the one before still verifies, and none lies."""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import shutil

import pytest
import torch

from unfog.errors import InputError
from unfog.training import checkpoint
from unfog.training.checkpoint import Checkpoint, load_ema, newest_verified, save


def example(step):
    tensors = {
        "w": torch.full((3, 2), float(step)),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "count": torch.tensor(step),
    }
    return Checkpoint(tensors, tensors, {"w.step": torch.tensor(1.0)}, {"step": step})


class Failing:
    """Counts the system's writes and fails at the n-th."""

    def __init__(self, monkeypatch, n=0):
        self.n, self.count = n, 0
        for name in ("fsync", "rename", "replace", "mkdir"):
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name)))
        real = builtins.open

        def opened(path, mode="r", *rest, **options):
            writing = "r" not in mode or "+" in mode
            file = (self.wrap(real) if writing else real)(path, mode, *rest, **options)
            return _File(file, self) if writing and "b" in mode else file

        monkeypatch.setattr(builtins, "open", opened)

    def wrap(self, function):
        def call(*arguments, **options):
            self.count += 1
            if self.count == self.n:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*arguments, **options)

        return call


class _File:
    def __init__(self, file, failing):
        self.file, self.write = file, failing.wrap(file.write)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def test_tensors_come_back_as_they_were(tmp_path):
    saved, loaded = example(3), checkpoint.load(save(tmp_path, example(3)))
    assert loaded.state == saved.state
    for name in ("weights", "ema", "optimizer"):
        for key, value in getattr(saved, name).items():
            back = getattr(loaded, name)[key]
            assert back.dtype == value.dtype
            assert torch.equal(back, value)


def test_the_two_newest_are_kept(tmp_path):
    for step in (1, 2, 3, 4):
        save(tmp_path, example(step))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000003",
        "step-00000004",
    ]
    assert load_ema(tmp_path)["count"] == 4


def test_a_damaged_one_does_not_count_as_kept(tmp_path):
    for step in (1, 2):
        save(tmp_path, example(step))
    (tmp_path / "checkpoints/step-00000002/state.json").write_text("{}")
    save(tmp_path, example(3))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000001",
        "step-00000003",
    ]


@pytest.mark.parametrize("name", [*checkpoint.FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_damage_is_found_and_the_one_before_taken(tmp_path, name, damage, caplog):
    save(tmp_path, example(1))
    path = save(tmp_path, example(2)) / name
    data = path.read_bytes()
    flipped = bytes([*data[:-2], data[-2] ^ 1, data[-1]])
    path.unlink() if damage == "remove" else path.write_bytes(
        data[:-1] if damage == "truncate" else flipped
    )
    folder, skipped = newest_verified(tmp_path)
    assert folder is not None
    assert folder.name == "step-00000001"
    assert name in skipped[0]
    assert load_ema(tmp_path)["count"] == 1
    assert "step-00000002 was rejected" in caplog.text
    save(tmp_path, example(2))  # the run comes by again
    assert load_ema(tmp_path)["count"] == 2


def test_any_bit_of_the_manifest_counts(tmp_path):
    path = save(tmp_path, example(1)) / "manifest.json"
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 5):  # every fifth, for time: each place in a byte comes up
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert checkpoint.fault(path.parent) is not None, bit


def test_none_that_verifies_and_none_at_all(tmp_path):
    assert newest_verified(tmp_path) == (None, [])
    with pytest.raises(InputError, match="no checkpoint yet"):
        load_ema(tmp_path)
    (save(tmp_path, example(1)) / "state.json").unlink()
    with pytest.raises(InputError, match="No checkpoint of this run verifies"):
        newest_verified(tmp_path)


def test_a_failing_disk_leaves_the_one_before(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        writes = Failing(patch)
        for step in (1, 2):
            save(tmp_path / "counted", example(step))
        total = writes.count
    assert total > 30
    for n in range(1, total + 1):
        run = tmp_path / str(n)
        with pytest.MonkeyPatch.context() as patch:
            Failing(patch, n)
            # Making a folder that is there already may fail without harm, and then the save is
            # good.
            with contextlib.suppress(InputError):
                for step in (1, 2):
                    save(run, example(step))
        folder, skipped = newest_verified(run) if run.exists() else (None, [])
        assert not skipped  # whatever has a checkpoint's name is one
        assert folder is not None or n <= total / 2
        save(run, example(2))
        assert load_ema(run)["count"] == 2
        assert not list(run.glob(".*"))
        shutil.rmtree(run)


def test_a_full_disk_is_told(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        Failing(patch, 5)
        with pytest.raises(
            InputError, match=r"step-00000001 could not be written \(No space left on device\)"
        ):
            save(tmp_path, example(1))


@pytest.mark.slow
def test_a_run_on_a_failing_disk_resumes_to_the_same_end(tiny, tmp_path):
    settings = {"steps": 4, "checkpoint_every": 2}
    with pytest.MonkeyPatch.context() as patch:
        writes = Failing(patch)
        tiny.train(tmp_path / "unbroken", **settings)
        total = writes.count
    for n in range(1, total + 1):
        run = tmp_path / str(n)
        with pytest.MonkeyPatch.context() as patch:
            Failing(patch, n)
            with contextlib.suppress(InputError):
                tiny.train(run, **settings)
        tiny.train(run, resume=(run / "lock").exists(), **settings)
        assert tiny.content(run) == tiny.content(tmp_path / "unbroken"), n


def test_what_is_no_checkpoint_is_left_alone(tmp_path):
    save(tmp_path, example(1))
    place = tmp_path / "checkpoints"
    (place / "step-00000009").write_text("a file")
    (place / "step-00000001-copy").mkdir()
    (place / "notes.txt").write_text("mine")
    (tmp_path / ".tmp-step-00000002").write_text("a file")
    for step in (2, 3):
        save(tmp_path, example(step))
    assert load_ema(tmp_path)["count"] == 3
    assert sorted(p.name for p in place.iterdir()) == [
        "notes.txt",
        "step-00000001-copy",
        "step-00000002",
        "step-00000003",
        "step-00000009",
    ]
    save(tmp_path, example(9))  # a file stands where the checkpoint is to be
    assert load_ema(tmp_path)["count"] == 9
