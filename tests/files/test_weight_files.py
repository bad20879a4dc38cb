"""A safetensors file's header is checked against the file before anything is read by its word."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

from unfog.errors import InputError
from unfog.files.weight_files import read_header, with_metadata


def written(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    """A file of this header and these bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(shape: list[int], start: int, end: int, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


def test_the_header_is_what_safetensors_wrote(tmp_path: Path) -> None:
    tensors = {"b": torch.zeros(2, 3, dtype=torch.float16), "a": torch.ones(()), "c": torch.ones(0)}
    safetensors.torch.save_file(tensors, tmp_path / "x.safetensors", metadata={"k": "v"})
    header = read_header(tmp_path / "x.safetensors")
    assert header.metadata == {"k": "v"}
    assert header.shapes == {"a": (), "b": (2, 3), "c": (0,)}
    assert header.types == {"a": "F32", "b": "F16", "c": "F32"}
    assert header.count == 7


@pytest.mark.parametrize(
    ("header", "data", "length", "message"),
    [
        ({"a": entry([2**40], 0, 2**42)}, b"", None, "ends at byte 4398046511104"),
        ({"a": entry([2**40], 0, 4)}, bytes(4), None, "claims the shape"),
        ({"a": entry([1], 4, 8)}, bytes(8), None, "leaves a gap"),
        ({"a": entry([2], 0, 8), "b": entry([1], 4, 8)}, bytes(8), None, "overlaps"),
        ({"a": entry([1], 0, 4)}, bytes(8), None, "end at byte 4 of 8"),
        ({"a": entry([-1], 4, 0)}, bytes(4), None, "no shape"),
        ({"a": entry([1], 0, 4, "P32")}, bytes(4), None, "unknown type"),
        ({"a": 3}, bytes(4), None, "unknown type"),
        ({"__metadata__": {"a": 1}}, b"", None, "metadata are no texts"),
        ([], b"", None, "no table"),
        (b"{", b"", None, "no JSON"),
        (b'{"a": 1, "a": 2}', b"", None, "twice"),
        (b"[" * 100_000, b"", None, "no JSON"),
        ({}, b"", 2**40, "longer than the file"),
        ({}, b"", 2**63, "longer than the file"),
    ],
)
def test_a_header_that_lies_is_refused(
    tmp_path: Path, header: Any, data: bytes, length: int | None, message: str
) -> None:
    file = written(tmp_path / "x.safetensors", header, data, length)
    with pytest.raises(InputError, match=message):
        read_header(file)


def test_a_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    whole = safetensors.torch.save({"a": torch.ones(9)})
    for count in (0, 3, 8, 20, len(whole) - 1):
        (tmp_path / "x.safetensors").write_bytes(whole[:count])
        with pytest.raises(InputError, match="no sound safetensors file"):
            read_header(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="no file"):
        read_header(tmp_path / "none.safetensors")


def test_metadata_are_read_by_safetensors_and_always_the_same_bytes(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(5), "b": torch.rand(3, 3)}
    content = safetensors.torch.save(tensors)
    told = {f"key {k}": "Wert ä" * k for k in range(9)}
    out = with_metadata(content, told)
    assert out == with_metadata(content, dict(reversed(told.items())))
    assert with_metadata(content, {}) == content
    (tmp_path / "x.safetensors").write_bytes(out)
    with safetensors.safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == told
        assert all(torch.equal(file.get_tensor(name), value) for name, value in tensors.items())
    assert read_header(tmp_path / "x.safetensors").metadata == told
