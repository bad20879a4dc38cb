"""Repeats: edges that match to the pixel, canvases of whole repeats, and their physical size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.commands import invoke

from unfog.errors import InputError
from unfog.files.palette import read_palette
from unfog.files.prints import millimetres, write_print
from unfog.textile.repeats import Repeat, sheet


@pytest.fixture(scope="module")
def cloth_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of cloth of 12 swatches, trained for two steps; what it learned does not matter."""
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("cloth") / "run"
    tiny = "--set data.count=12 --set training.batch=2 --set network.channels=8 "
    line = f"train textile --data swatches --steps 2 {tiny} --set training.warmup=500"
    status, out, err = invoke(f"{line} --set network.groups=4 --out {folder}")
    assert status == 0, out + err
    return folder


@pytest.fixture
def place(tmp_path: Path, cloth_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("run").symlink_to(cloth_run)
    Path("ink.txt").write_text("# two inks\n#102030 night\n240 230 200\n")
    Path("gimp.gpl").write_text("GIMP Palette\nName: inks\nColumns: 2\n#\n 16 32 48\tnight\n")
    Path("wrong.txt").write_text("red\n")
    Path("empty.txt").write_text("# nothing\n")
    Path("binary.gpl").write_bytes(bytes(range(256)))
    return tmp_path


def drawn(line: str) -> tuple[dict[str, Any], str]:
    status, out, err = invoke(f"sample run -n 1 --steps 2 {line} --out out --json")
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    return found, err


def picture(name: str) -> np.ndarray:
    return np.asarray(Image.open(Path("out") / name)).astype(int)


def test_a_half_drop_canvas_repeats_to_the_pixel_and_has_its_size(place: Path) -> None:
    said, _ = drawn("--repeat half-drop --tile 80,72 --shape 160,288 --dpi 100 --class brick")
    assert (said["tile"], said["canvas"]) == ([80, 72], [160, 288])
    tile, cloth = picture("tile-0000.png"), picture("cloth-0000.png")
    assert np.array_equal(cloth[:80, :72], tile)
    assert np.array_equal(cloth[40:, 72:], cloth[:120, :216])  # a column on, half a cell lower
    assert np.array_equal(cloth[80:], cloth[:80])
    with tifffile.TiffFile("out/cloth-0000.tiff") as tiff:
        page: Any = tiff.pages[0]
        assert np.array_equal(page.asarray(), cloth)
        assert page.tags["XResolution"].value == (100, 1)
    assert Image.open("out/cloth-0000.png").info["dpi"] == pytest.approx((100, 100), abs=0.1)
    # The page's box in points of 1 / 72 inch: the canvas and half an inch about it.
    pdf = Path("out/sheet-0000.pdf").read_bytes()
    box = pdf[pdf.index(b"/MediaBox") :].split(b"[")[1].split(b"]")[0].split()
    sides = [(n + 2 * 50) / 100 * 72 for n in (288, 160)]
    assert [float(n) for n in box[2:]] == pytest.approx(sides, abs=0.1)
    assert b"CreationDate" not in pdf


def test_a_canvas_is_rounded_to_whole_repeats_and_that_is_said(place: Path) -> None:
    said, err = drawn("--repeat brick --tile 64,80 --shape 200,170")
    assert said["canvas"] == [256, 160]
    assert "no multiple of the brick repeat's 128 x 80; it is made 256 x 160" in err
    cloth = picture("cloth-0000.png")
    assert np.array_equal(cloth[64:, 40:], cloth[:192, :120])


def test_scale_turn_and_palette_are_asked_for_together(place: Path) -> None:
    said, _ = drawn(
        "--repeat square --property scale=.6,rotation=30 --class grass --guidance 1.5 "
        "--palette ink.txt"
    )
    assert (said["palette"], said["tile"], said["canvas"]) == ("ink.txt", [64, 64], [64, 64])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--repeat zigzag", "square, half-drop, brick"),
        ("--repeat half-drop --tile 65,64", "even side"),
        ("--repeat square --tile 64", "rows,columns"),
        ("--repeat square --shape 8,8", "16 pixels"),
        ("--repeat square --windows", "leave --seamless and --windows out"),
        ("--tile 64,64", "give --repeat"),
        ("--repeat square --dpi 3", "10 to 4800"),
        ("--repeat square --property scale=3", "ask for one within"),
        ("--palette wrong.txt", "is no palette"),
        ("--palette binary.gpl", "is no palette"),
        ("--palette empty.txt", "0 colours"),
        ("--palette none.txt", "no palette none.txt"),
    ],
)
def test_bad_input_is_one_sentence(place: Path, line: str, words: str) -> None:
    status, _, err = invoke(f"sample run -n 1 --steps 2 {line} --out out")
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert words in err
    assert not Path("out").exists()


def test_a_palette_is_read_in_its_forms(place: Path) -> None:
    assert read_palette(Path("ink.txt")).tolist() == [[16, 32, 48], [240, 230, 200]]
    assert read_palette(Path("gimp.gpl")).tolist() == [[16, 32, 48]]


def test_a_palette_is_refused_by_a_grey_run(place: Path) -> None:
    status, _, err = invoke("sample textures -n 1 --steps 2 --palette ink.txt --out out")
    assert status == 2
    assert "in colour" in err


def test_a_sheet_holds_the_canvas_and_its_marks() -> None:
    repeat = Repeat("square", (40, 60))
    cloth = np.full((80, 120, 3), 90, np.uint8)
    page = sheet(repeat, cloth, 100)
    assert np.array_equal(page[50:130, 50:170], cloth)
    dark = (page[:50] == 0).all(2).any(0).nonzero()[0]
    assert dark.tolist() == [50, 110, 170]  # where cells begin
    assert millimetres(100, 100) == pytest.approx(25.4)
    with pytest.raises(InputError, match="print is"):
        write_print(Path("x.bmp"), cloth, 100)
