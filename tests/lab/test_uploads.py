"""What can go wrong while a file comes in: nothing is left, and the page goes on."""

from __future__ import annotations

import errno
import io
import os
import socket
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from support.lab import Served, served

from unfog.lab.limits import Limits


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


NPY = _npy(np.zeros((2, 3, 4), np.float32))


def test_a_full_disk_is_said_and_leaves_nothing(
    lab: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lab.lab.runs.root / ".lab/uploads"
    before = set(folder.iterdir())
    opened = Path.open

    def full(self: Path, mode: str = "r", *rest: Any) -> Any:
        if mode == "wb":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return opened(self, mode, *rest)

    monkeypatch.setattr(Path, "open", full)
    answer = lab.drop(ending="bval", content=b"0 1000")
    assert answer.status == 422
    assert answer.data["sentence"] == "The file could not be written: No space left on device."
    assert set(folder.iterdir()) == before
    monkeypatch.undo()
    assert lab.drop(ending="bval", content=b"0 1000").status == 200


def _nifti(*sizes: int) -> bytes:
    """The header of a volume of these sizes, with nothing after it."""
    header = nib.Nifti1Header()
    header["dim"][: len(sizes) + 1] = (len(sizes), *sizes)
    header["magic"], header["vox_offset"] = b"n+1", 352
    return bytes(header.binaryblock) + bytes(4)


@pytest.mark.parametrize(
    ("ending", "content"),
    [("bval", b""), ("dcm", b""), ("nii", _nifti(-5, 4, 4)), ("nii", _nifti(0, 4, 4)),
     ("nii", _nifti())],
)  # fmt: skip
def test_a_file_without_numbers_is_refused_at_once(
    lab: Served, ending: str, content: bytes
) -> None:
    answer = lab.drop(ending=ending, content=content)
    assert answer.status == 422
    assert "copy it again" in answer.data["sentence"]
    assert lab.drop(ending="nii", content=_nifti(5, 4, 4)).status == 200


def test_a_connection_that_is_lost_leaves_nothing(
    lab: Served, caplog: pytest.LogCaptureFixture
) -> None:
    folder = lab.lab.runs.root / ".lab/uploads"
    before = set(folder.iterdir())
    head = "".join(f"{k}: {v}\r\n" for k, v in lab.own.items())
    with socket.create_connection(("127.0.0.1", lab.door.port)) as line:
        text = f"POST /files?ending=nii HTTP/1.1\r\n{head}Content-Length: 9999\r\n\r\n"
        line.sendall(text.encode() + b"x" * 100)
        until = time.monotonic() + 10
        while set(folder.iterdir()) == before:
            assert time.monotonic() < until
            time.sleep(0.01)
    while set(folder.iterdir()) != before:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert not caplog.records
    assert lab.ask("/").status == 200


def test_the_oldest_uploads_go_by_number_and_by_bytes(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    folder = tmp_path / ".lab/uploads"
    for limits in (Limits(uploads=2), Limits(kept=2500)):
        with served(tmp_path, limits) as one:
            ids = []
            for _ in range(4):
                ids.append(one.drop(ending="bval", content=b"0 " * 500).data["id"])
                time.sleep(0.02)
            assert {p.name for p in folder.iterdir()} == set(ids[-2:])


def test_a_painted_mask_becomes_one_channel(lab: Served, tmp_path: Path) -> None:
    """A browser's PNG has colours and an alpha of 255 everywhere; black is no hole."""
    painted = np.zeros((5, 7, 4), np.uint8)
    painted[..., 3] = 255
    painted[1:3, 2:6] = 255
    Image.fromarray(painted).save(tmp_path / "painted.png")
    content = (tmp_path / "painted.png").read_bytes()
    answer = lab.ask("/files?ending=png&kind=mask", "POST", content)
    assert answer.data["facts"] == "7 x 5 pixels"
    kept = np.asarray(Image.open(lab.lab.uploads.get(answer.data["id"]).path))
    assert (kept == painted[..., 0]).all()
    shown = lab.ask(f"/files/{answer.data['id']}/picture")
    assert shown.headers["content-type"] == "image/png"
    assert (np.asarray(Image.open(io.BytesIO(shown.body)))[..., 0] == kept).all()
    refused = lab.ask("/files?ending=npy&kind=mask", "POST", NPY)
    assert "PNG" in refused.data["sentence"]


def test_of_a_volume_there_is_nothing_to_paint_on(lab: Served) -> None:
    dropped = lab.drop(ending="npy", content=NPY)
    assert lab.ask(f"/files/{dropped.data['id']}/picture").status == 204
    assert lab.ask("/files/0123456789abcdef/picture").status == 422


def test_a_mask_of_another_size_is_refused_beside_its_field(lab: Served, tmp_path: Path) -> None:
    ids = {}
    for name, size in (("scan", (8, 6)), ("mask", (6, 8))):
        Image.new("L", size, 255).save(tmp_path / "one.png")
        ids[name] = lab.drop(tmp_path / "one.png").data["id"]
    fields = {**ids, "task": "inpaint", "run": "garments"}
    answer = lab.ask("/jobs", "POST", {"page": "restore", "fields": fields})
    assert answer.status == 422
    assert answer.data["field"] == "mask"
    assert answer.data["sentence"].startswith("The mask is 6 x 8 pixels and the picture 8 x 6")
