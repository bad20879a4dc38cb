"""Pictures: what Pillow would lose or read in part is refused by name; 16-bit grey is exact."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unfog.data import open_dataset
from unfog.errors import InputError
from unfog.files.output import write_image
from unfog.files.pictures import read_image

RNG = np.random.default_rng(0)


def png(path: Path, width: int, height: int, depth: int, colour: int, body: bytes) -> Path:
    """A PNG written by hand, to say what Pillow would not."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_is_exact(tmp_path: Path, kind: type, suffix: str) -> None:
    for name in "ab":
        Image.fromarray(RNG.integers(0, np.iinfo(kind).max, (6, 7), kind, endpoint=True)).save(
            tmp_path / f"{name}.{suffix}"
        )
    data = open_dataset(tmp_path)
    assert (len(data), data.shape, data.codec["high"]) == (2, (1, 6, 7), np.iinfo(kind).max)
    np.testing.assert_array_equal(
        data.batch([1])["x"][0, 0],
        np.asarray(Image.open(tmp_path / f"b.{suffix}")).astype(np.float32),
    )


@pytest.mark.parametrize(
    "array",
    [
        RNG.integers(0, 65535, (5, 4)).astype(np.uint16),
        RNG.integers(0, 255, (5, 4, 3)).astype(np.uint8),
    ],
)
def test_written_pictures_read_back(tmp_path: Path, array: np.ndarray) -> None:
    path = write_image(tmp_path / "a.png", array)
    np.testing.assert_array_equal(
        read_image(path), array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    )
    with pytest.raises(InputError, match="exists"):
        write_image(path, array)
    with pytest.raises(InputError, match="must be grey"):
        write_image(tmp_path / "b.png", array.astype(np.float32))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_classes_and_size(tmp_path: Path) -> None:
    for name, size in (("cats", (9, 6)), ("dogs", (6, 6))):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((*size, 3), 100, np.uint8)).save(tmp_path / name / "1.png")
    with pytest.raises(InputError, match=r"1\.png is 6 x 6.* size=N"):
        open_dataset(tmp_path)
    data = open_dataset(tmp_path, size=4, label=True)
    assert (data.shape, data.classes, data.batch([0, 1])["label"].tolist()) == (
        (3, 4, 4),
        ("cats", "dogs"),
        [0, 1],
    )
    assert data.batch([0])["x"].unique().tolist() == [100]


def test_sixteen_bit_resize_keeps_its_depth(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40001, np.uint16)).save(tmp_path / "a.png")
    assert open_dataset(tmp_path, size=4).batch([0])["x"].unique().tolist() == [40001]


def test_mixed_kinds(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png is 4 x 4, 3 channel.*a\.png is 4 x 4, 1 channel"):
        open_dataset(tmp_path)
    Image.new("L", (4, 4)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="no subfolder"):
        open_dataset(tmp_path, label=True)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RNG.integers(0, 255, (64, 64), np.uint8)).save(path)
    whole = path.read_bytes()
    for share in (0.02, 0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=rf"a\.{suffix} is truncated"):
            read_image(path)


def test_a_flipped_bit_in_a_png(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RNG.integers(0, 255, (16, 16), np.uint8)).save(path)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="damaged"):
        read_image(path)


def test_what_would_be_lost_is_refused(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 4)).save(tmp_path / "cmyk.jpg")
    Image.new("RGBA", (4, 4), (1, 2, 3, 100)).save(tmp_path / "glass.png")
    Image.new("F", (4, 4)).save(tmp_path / "real.tif")
    Image.new("L", (4, 4)).save(
        tmp_path / "pages.tif", save_all=True, append_images=[Image.new("L", (4, 4))]
    )
    png(tmp_path / "deep.png", 1, 1, 16, 2, b"\0" + bytes(range(6)))
    words = {
        "cmyk.jpg": "CMYK",
        "glass.png": "transparent",
        "real.tif": "is F",
        "pages.tif": "2 pictures",
        "deep.png": "16-bit colour",
    }
    for name, word in words.items():
        with pytest.raises(InputError, match=f"{name} .*{word}"):
            read_image(tmp_path / name)
    Image.new("RGBA", (4, 4), (1, 2, 3, 255)).save(tmp_path / "solid.png")
    assert read_image(tmp_path / "solid.png").shape == (3, 4, 4)


@pytest.mark.parametrize("side", [10_000, 200_000])
def test_decompression_bomb(tmp_path: Path, side: int) -> None:
    with pytest.raises(InputError, match=r"a\.png claims"):
        read_image(png(tmp_path / "a.png", side, side, 8, 0, bytes(1000)))
