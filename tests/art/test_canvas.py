"""Canvases: levels, what a kill leaves, files, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from support.commands import invoke

from unfog.errors import InputError
from unfog.runs.canvas import Canvas, levels_of, plans_of
from unfog.runs.run import Run


@pytest.fixture(scope="module")
def art_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of art on squares of 16 pixels, trained for two steps; what it learned does not
    matter.
    """
    folder = tmp_path_factory.mktemp("art")
    numbers = np.random.default_rng(0)
    coarse = numbers.integers(0, 256, (12, 3, 4, 4)).astype(np.uint8)
    np.save(folder / "x.npy", coarse.repeat(4, 2).repeat(4, 3))
    tiny = "--set training.batch=2 --set network.channels=8 --set network.groups=4"
    line = f"train art --data {folder / 'x.npy'} --steps 2 {tiny} --set training.warmup=500"
    status, out, err = invoke(f"{line} --out {folder / 'run'}")
    assert status == 0, out + err
    return folder / "run"


@pytest.fixture
def place(tmp_path: Path, art_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("run").symlink_to(art_run)
    Image.new("RGB", (20, 16), (200, 30, 30)).save("base.png")
    Path("ink.txt").write_text("#102030\n#f0e0c0\n")
    return tmp_path


def test_levels_lead_from_a_window_to_the_canvas(art_run: Path) -> None:
    run = Run.open(art_run)
    assert levels_of(run, (256, 256)) == [[16, 16], [64, 64], [256, 256]]
    assert levels_of(run, (100, 130)) == [[25, 32], [100, 128]]
    assert levels_of(run, (20, 40)) == [[20, 40]]
    assert levels_of(run, (64, 80), (16, 20)) == [[64, 80]]
    with pytest.raises(InputError, match="no such enlargement"):
        levels_of(run, (64, 96), (16, 20))
    with pytest.raises(InputError, match="smaller than the window"):
        levels_of(run, (8, 200))


def test_a_killed_work_goes_on_and_ends_in_the_same_numbers(art_run: Path, tmp_path: Path) -> None:
    run = Run.open(art_run)
    levels = levels_of(run, (64, 64))
    plans = plans_of(run, 2, 2)
    whole = np.array(Canvas(run, tmp_path / "whole", levels, plans, seed=4).draw())

    class Killed(Exception):
        pass

    def die_at(number: int):
        calls = iter(range(100))

        def report(*_: int) -> None:
            if next(calls) == number:
                raise Killed

        return report

    # Killed after the first step of either level, and in the middle of a step: its file is torn.
    cut = Canvas(run, tmp_path / "cut", levels, plans, seed=4)
    for number in (0, 3):
        with pytest.raises(Killed):
            cut.draw(die_at(number))
        told = json.loads((tmp_path / "cut" / "progress.json").read_text())
        steps = cut._steps(told["level"])
        torn = cut._new(told["level"] + (told["step"] == steps), told["step"] % steps + 1)
        torn[:, :5] = 7
        torn.flush()
    assert np.array_equal(np.array(cut.draw()), whole)
    other = np.array(Canvas(run, tmp_path / "other", levels, plans, seed=5).draw())
    assert not np.array_equal(other, whole)


def test_a_level_is_told_the_one_before(art_run: Path, tmp_path: Path) -> None:
    run, size = Run.open(art_run), [[64, 64]]
    plans, drawn = plans_of(run, 1, 2), []
    for value in (-0.9, 0.9):
        base = value * torch.ones(3, 16, 16)
        drawn.append(np.array(Canvas(run, tmp_path / str(value), size, plans, base=base).draw()))
    assert float(np.abs(drawn[0] - drawn[1]).max()) > 0


def test_a_canvas_is_a_tiled_tiff_of_its_size(place: Path) -> None:
    line = "sample run --shape 64,80 --steps 2 --dpi 300 --palette ink.txt --base base.png"
    status, out, err = invoke(f"{line} --out out --json")
    assert status == 0, err
    said = json.loads(out)
    assert said["levels"] == [[64, 80]]
    with tifffile.TiffFile("out/canvas-0000.tiff") as tiff:
        page = tiff.pages[0]
        assert page.shape == (64, 80, 3)
        assert page.is_tiled
        assert page.tags["XResolution"].value == (300, 1)
        assert "DateTime" not in page.tags
        pixels = page.asarray()
    assert np.array_equal(np.asarray(Image.open("out/canvas-0000-preview.png")), pixels)
    assert sorted(p.name for p in Path().iterdir() if p.name.startswith(".unfog")) == []
    first = Path("out/canvas-0000.tiff").read_bytes()
    assert invoke(f"{line} --out again")[0] == 0
    assert Path("again/canvas-0000.tiff").read_bytes() == first


def test_a_canvas_is_rounded_and_that_is_said(place: Path) -> None:
    status, out, err = invoke("sample run --shape 66,70 --steps 1 --out out --json")
    assert status == 0, err
    assert json.loads(out)["size"] == [64, 72]
    assert "it is made 64 x 72" in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--shape 8,64", "smaller than the window"),
        ("--shape 64", "rows,columns"),
        ("--shape 64,64 --base base.png", "no such enlargement"),
        ("--base ink.txt", "no known type"),
        ("--palette base.png", "is no palette"),
        ("--dpi 1", "10 to 4800"),
        ("--class 3", "does not know --class"),
    ],
)
def test_bad_input_is_one_sentence(place: Path, line: str, words: str) -> None:
    status, _, err = invoke(f"sample run {line} --steps 1 --out out")
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert words in err
    assert not Path("out").exists()
