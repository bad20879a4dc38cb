"""Output files: there complete or not at all."""

from __future__ import annotations

import builtins
import os
from pathlib import Path

import pytest

from unfog.errors import InputError
from unfog.files.output import check_output, write_bytes


@pytest.mark.parametrize("call", ["fsync", "open", "replace"])
@pytest.mark.parametrize("there", [False, True])
def test_a_failing_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, there: bool
) -> None:
    target = tmp_path / "a.bin"
    if there:
        target.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(builtins if call == "open" else os, call, fail)
        with pytest.raises(InputError, match=r"'a\.bin' cannot be written \(No space left"):
            write_bytes(target, b"new", overwrite=True)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"] * there


def test_what_is_refused(tmp_path: Path) -> None:
    there = write_bytes(tmp_path / "a.bin", b"one")
    for path, inputs, word in (
        (there, [], "exists"),
        (tmp_path / "x" / ".." / "a.bin", [there], "also the input"),
        (tmp_path, [], "is a folder"),
        (tmp_path / "none" / "a.bin", [], "does not exist"),
    ):
        with pytest.raises(InputError, match=word):
            check_output(path, inputs)
    assert write_bytes(there, b"two", overwrite=True).read_bytes() == b"two"
    assert there.stat().st_mode & 0o400
