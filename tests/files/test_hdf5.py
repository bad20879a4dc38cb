"""HDF5 files that lead out of themselves, or claim more than they hold: refused by the entry's
name, before anything is read. What they would lead to are harmless arrays beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unfog.errors import InputError
from unfog.files.raw import read_raw

h5py = pytest.importorskip("h5py")
HUGE = (1 << 10, 1 << 10, 1 << 10)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another file, of numbers that must not be read."""
    path = tmp_path / "elsewhere.h5"
    with h5py.File(path, "w") as file:
        file["numbers"] = np.full((4, 4), 7.0)
    (tmp_path / "bytes.bin").write_bytes(np.full(16, 7.0).tobytes())
    return path


def external_link(file: Any, where: Path) -> None:
    file["kspace"] = h5py.ExternalLink(str(where), "numbers")


def deep_link(file: Any, where: Path) -> None:
    file["kspace"] = np.zeros((4, 4))
    file.create_group("a/b")["c"] = h5py.ExternalLink(str(where), "numbers")


def soft_through(file: Any, where: Path) -> None:
    file["door"] = h5py.ExternalLink(str(where), "/")
    file["kspace"] = h5py.SoftLink("/door/numbers")


def storage(file: Any, where: Path) -> None:
    place = [(str(where.with_name("bytes.bin")), 0, 128)]
    file.create_dataset("kspace", (4, 4), "f8", external=place)


def virtual(file: Any, where: Path) -> None:
    layout = h5py.VirtualLayout((4, 4), "f8")
    layout[:] = h5py.VirtualSource(str(where), "numbers", (4, 4))
    file.create_virtual_dataset("kspace", layout)


def unwritten(file: Any, where: Path) -> None:
    file.create_dataset("kspace", HUGE, "f4")


def sparse(file: Any, where: Path) -> None:
    made = file.create_dataset("kspace", HUGE, "f4", chunks=(1, 64, 64), compression="gzip")
    made[0, :64, :64] = 1


def dangling(file: Any, where: Path) -> None:
    file["kspace"] = h5py.SoftLink("/nowhere")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (external_link, "'kspace' as a link to another file"),
        (deep_link, "'a/b/c' as a link to another file"),
        (soft_through, "'door' as a link to another file"),
        (storage, "keeps 'kspace' in another file"),
        (virtual, "puts 'kspace' together"),
        (unwritten, "claims 4294967296 bytes in 'kspace' and holds 0"),
        (sparse, "claims 4294967296 bytes in 'kspace'"),
        (dangling, "'kspace' as a link to nothing"),
    ],
)
def test_refused(
    tmp_path: Path, elsewhere: Path, make: Callable[[Any, Path], None], words: str
) -> None:
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        make(file, elsewhere)
    with pytest.raises(InputError, match=words):
        read_raw(path, "kspace")


def test_links_within_a_file_are_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["data/kspace"] = np.arange(6.0)
        file["kspace"] = h5py.SoftLink("/data/kspace")
        file["data/ring"] = file["data"]  # a ring of hard links
        file.create_dataset("zeros", (64, 64), "f4")  # small, and never written
    found = read_raw(tmp_path / "scan.h5", "kspace")
    assert list(found["kspace"]) == list(range(6))
    assert not found["zeros"].any()


def test_more_than_the_free_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["kspace"] = np.ones(5000)
    np.save(tmp_path / "scan.npy", np.ones(5000))
    np.savez(tmp_path / "scan.npz", kspace=np.ones(5000))
    monkeypatch.setattr("unfog.files.room.free_memory", lambda: 50_000.0)
    for kind in ("h5", "npy", "npz"):
        with pytest.raises(InputError, match="asks for 4e-05 GB in"):
            read_raw(tmp_path / f"scan.{kind}", "kspace")


@pytest.mark.parametrize(
    "shape", ["(4611686018427387904, 4)", "(-4, -4)", "(99999999999999999999999,)", "(1.5,)"]
)
def test_shapes_that_overflow_are_refused(tmp_path: Path, shape: str) -> None:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117)
    content = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + head + b"\n" + bytes(64)
    (tmp_path / "scan.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"scan\.npy (claims|is truncated)"):
        read_raw(tmp_path / "scan.npy", "kspace")
