"""``unfog edit --method animate``, from a picture to a clip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unfog.cli.main import app
from unfog.video.clips import read_clip, write_clip

pytest.importorskip("av")


def invoke(*words):
    """The result of a command."""
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("animate")
    (folder / "films").mkdir()
    draw = np.random.default_rng(0)
    for k in range(2):
        write_clip(
            folder / "films" / f"{k}.mp4", draw.integers(0, 255, (8, 1, 16, 16), np.uint8), 8
        )
    settings = ["data.frames=6", "data.size=16", "data.grey=true", "network.channels=8"]
    settings += ["network.head_dim=8", "training.batch=1"]
    flags = [flag for pair in settings for flag in ("--set", pair)]
    told = ("--data", folder / "films", "--steps", 2, *flags, "--out", folder / "run")
    result = invoke("train", "dynamicrafter", *told)
    assert result.exit_code == 0, result.output
    return folder / "run"


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "first.png"
    values = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(values).save(path)
    return path


def test_a_picture_is_animated(run: Path, picture: Path, tmp_path: Path) -> None:
    how = ["--method", "animate", "-n", "1", "--steps", "2", "--fps", "8"]
    for name, more in (("free", []), ("ends", ["--other", picture]), ("loop", ["--loop"])):
        done = invoke("edit", run, picture, *how, *more, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        said = json.loads((tmp_path / name / "summary.json").read_text())
        assert said["frames"] == (5 if name == "loop" else 6)
        assert said["other"] == ("input 1" if name == "ends" else None)
        assert any("reduced" in note for note in said["notes"])
        clip = read_clip(tmp_path / name / "edit-0000.mp4")
        assert len(clip.frames) == said["frames"]
        assert clip.fps == 8
        assert (tmp_path / name / "report.html").is_file()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--method", "animate", "--loop", "--other", "PICTURE"], "leave --other or --loop out"),
        (["--method", "animate", "--mask", "PICTURE"], "--mask"),
        (["--method", "extend", "--loop"], "does not know --loop"),
        (["--method", "animate", "--text", "it falls"], "trained without text"),
    ],
)
def test_what_animates_nothing(
    more: list[str], said: str, run: Path, picture: Path, tmp_path: Path
) -> None:
    more = [str(picture) if part == "PICTURE" else part for part in more]
    done = invoke("edit", run, picture, *more, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert said in done.output
    assert not (tmp_path / "out").exists()
