"""TIFF by its tags: every depth, layout and sense of grey has the values that were stored."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unfog.data import open_dataset
from unfog.errors import InputError, MissingExtra
from unfog.files.pictures import read_image

tifffile = pytest.importorskip("tifffile")
RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 65536, (5, 6, 3)).astype(np.uint16)
PLAIN = RANDOM.integers(0, 256, (5, 6, 3)).astype(np.uint8)
PLANES = {"photometric": "rgb", "planarconfig": "separate"}
NEGATIVE: dict[str, Any] = {"photometric": "miniswhite"}


def channels(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)


@pytest.mark.parametrize("array", [PLAIN, DEEP], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [None, "zlib"])
@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("big", [False, True])
def test_colour_is_exact_in_every_layout(
    tmp_path: Path,
    array: np.ndarray[Any, Any],
    order: str,
    packed: str | None,
    planes: bool,
    big: bool,
) -> None:
    stored = np.moveaxis(array, 2, 0).copy() if planes else array
    layout: dict[str, Any] = PLANES if planes else {"photometric": "rgb"}
    tifffile.imwrite(
        tmp_path / "a.tif", stored, byteorder=order, compression=packed, bigtiff=big, **layout
    )
    found = read_image(tmp_path / "a.tif")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, channels(array))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_digits_in_an_offset_are_no_depth(tmp_path: Path, compression: str) -> None:
    """A directory after so many bytes that its offset, and nothing else, has a 16 in it."""
    Image.fromarray(PLAIN).save(tmp_path / "a.tif", compression=compression)
    content = (tmp_path / "a.tif").read_bytes()
    tags = Image.open(tmp_path / "a.tif").tag_v2  # type: ignore[attr-defined]
    start = int.from_bytes(content[4:8], "little")
    place = 160_016
    body = bytearray(content[start:])
    moved = content + b"\0" * (place - len(content)) + body
    # The one list beyond the directory itself, the bits of three samples, moves with it.
    entry = next(k for k in range(2, len(body), 12) if body[k : k + 2] == b"\x02\x01")
    bits = place + len(body)
    moved = bytearray(moved + b"\x08\0\x08\0\x08\0")
    moved[place + entry + 8 : place + entry + 12] = bits.to_bytes(4, "little")
    moved[4:8] = place.to_bytes(4, "little")
    assert tags[258] == (8, 8, 8)
    (tmp_path / "b.tif").write_bytes(moved)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), channels(PLAIN))


@pytest.mark.parametrize("array", [PLAIN[..., 0], DEEP[..., 0]], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [None, "zlib"])
def test_grey_is_turned_over_where_white_is_0(
    tmp_path: Path, array: np.ndarray[Any, Any], order: str, packed: str | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", array, byteorder=order, compression=packed, **NEGATIVE)
    found = read_image(tmp_path / "a.tif")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found[0], np.iinfo(array.dtype).max - array)


@pytest.mark.parametrize("turn", range(1, 9))
def test_deep_colour_is_turned_upright_as_pillow_turns_8_bits(tmp_path: Path, turn: int) -> None:
    tag = (274, "H", 1, turn, True)
    deep = PLAIN.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", PLAIN, photometric="rgb", extratags=[tag])
    tifffile.imwrite(tmp_path / "b.tif", deep, photometric="rgb", extratags=[tag])
    plain = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), plain.astype(np.uint16) * 257)


def test_deep_colour_is_a_data_set_and_keeps_its_depth_when_resized(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="rgb")
    data = open_dataset(tmp_path)
    assert data.codec["high"] == 65535
    np.testing.assert_array_equal(data.batch([0])["x"][0], channels(DEEP).astype(np.float32))
    flat = np.full((8, 8, 3), (40001, 7, 65535), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", flat, photometric="rgb")
    small = open_dataset(tmp_path, size=4).batch([0])["x"][0]
    assert small[:, 0, 0].tolist() == [40001, 7, 65535]


def test_opaque_alpha_is_left_out_and_other_alpha_refused(tmp_path: Path) -> None:
    solid = np.concatenate([DEEP, np.full((5, 6, 1), 65535, np.uint16)], 2)
    for array in (solid, solid[..., [0, 3]]):
        kind = {"photometric": "rgb" if array.shape[2] == 4 else "minisblack"}
        tifffile.imwrite(tmp_path / "a.tif", array, extrasamples=["unassalpha"], **kind)
        expected = channels(array[..., :-1])
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected)
    solid[2, 3, 3] = 65534
    tifffile.imwrite(tmp_path / "a.tif", solid, photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(InputError, match="transparent pixels"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (DEEP.astype(np.uint32), {"photometric": "rgb"}, "holds uint32"),
        (DEEP.view(np.int16)[..., 0], NEGATIVE, "holds int16"),
        (np.stack([DEEP, DEEP]), {"photometric": "rgb"}, "several pictures"),
        (np.concatenate([DEEP, DEEP[..., :1]], 2), {"photometric": "separated"}, "unusual kind"),
    ],
)
def test_other_deep_pictures_are_refused(
    tmp_path: Path, array: np.ndarray[Any, Any], options: dict[str, Any], words: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    with pytest.raises(InputError, match=rf"a\.tif .*{words}"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("packed", [None, "zlib"])
def test_a_cut_file_and_a_size_that_is_claimed_are_refused(
    tmp_path: Path, packed: str | None
) -> None:
    noise = RANDOM.integers(0, 65536, (64, 64, 3)).astype(np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise, photometric="rgb", compression=packed)
    whole = path.read_bytes()
    for share in (0.001, 0.3, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=r"a\.tif is truncated"):
            read_image(path)
    place = whole.index(struct.pack("<HHI", 257, 4, 1)) + 8  # the value of ImageLength
    wide = whole[:place] + struct.pack("<I", 1 << 30) + whole[place + 4 :]
    path.write_bytes(wide)
    with pytest.raises(InputError, match="claims 64 x 1073741824 pixels"):
        read_image(path)


def test_without_the_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", DEEP[..., 0], **NEGATIVE)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MissingExtra, match=r"unfog\[pictures\]"):
        read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif")[0], 65535 - DEEP[..., 0])
