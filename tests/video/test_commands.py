"""The commands of clips: train, sample, extend, interpolate; a picture's run starts one; bad input
is one sentence and exit 2.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from unfog.cli.main import app
from unfog.runs.run import Run
from unfog.video.clips import read_clip, write_clip

pytest.importorskip("av")

TINY = [
    *("--set", "network.channels=8", "--set", "network.groups=4", "--set", "training.batch=2"),
    *("--steps", "2", "--seed", "0"),
]
FEW = ["--steps", "2"]


def invoke(*words):
    """The result of a command."""
    return CliRunner().invoke(app, [str(word) for word in words])


def films(folder, count=2, frames=12):
    """A folder of short grey videos."""
    folder.mkdir()
    for k in range(count):
        x = np.zeros((frames, 1, 16, 24), np.uint8)
        for t in range(frames):
            x[t, 0, 4:10, t : t + 6] = 100 + 50 * k
        write_clip(folder / f"{k}.mp4", x, 8)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of clips (1, 6, 16, 16); what it learned does not matter."""
    folder = tmp_path_factory.mktemp("video")
    data = films(folder / "films")
    options = ["--set", "data.frames=6", "--set", "data.size=16", "--set", "data.grey=true"]
    result = invoke("train", "video", "--data", data, "--out", folder / "run", *options, *TINY)
    assert result.exit_code == 0, result.output
    return folder / "run"


def test_samples_play(run, tmp_path):
    out = tmp_path / "samples"
    result = invoke("sample", run, "-n", 2, "--fps", 5, "--out", out, *FEW)
    assert result.exit_code == 0, result.output
    assert np.load(out / "samples.npy").shape == (2, 1, 6, 16, 16)
    clip = read_clip(out / "sample-0001.mp4")
    assert clip.frames.shape == (6, 3, 16, 16)
    assert clip.fps == pytest.approx(5)
    assert len(read_clip(out / "sample-0001.gif").frames) == 6
    page = (out / "report.html").read_text()
    assert page.count("<video") == 2
    assert "data:video/mp4;base64," in page
    assert "media-src data:" in page
    assert "http" not in page.replace("http-equiv", "")
    # A clip depends on its number alone.
    again = tmp_path / "again"
    assert invoke("sample", run, "-n", 1, "--fps", 5, "--out", again, *FEW).exit_code == 0
    one, two = np.load(again / "samples.npy")[0], np.load(out / "samples.npy")[0]
    assert np.allclose(one, two, atol=2)


@pytest.mark.parametrize("longer", ["extend", "hierarchy"])
def test_longer_clips_than_in_training(run, tmp_path, longer):
    out = tmp_path / "long"
    options = ["--frames", 14, "--longer", longer, "-n", 1, "--out", out, *FEW]
    result = invoke("sample", run, *options)
    assert result.exit_code == 0, result.output
    assert np.load(out / "samples.npy").shape == (1, 1, 14, 16, 16)
    assert json.loads((out / "summary.json").read_text())["longer"] == longer


def test_a_clip_is_extended_and_its_frames_stay(run, tmp_path):
    data = films(tmp_path / "films", 1)
    square = read_clip(data / "0.mp4").frames[:, :1, :, 4:20]
    out = tmp_path / "extended"
    options = ["--method", "extend", "--frames", 16, "-n", 2, "--out", out, *FEW]
    result = invoke("edit", run, data / "0.mp4", *options)
    assert result.exit_code == 0, result.output
    edits = np.load(out / "edits.npy")
    assert edits.shape == (2, 1, 16, 16, 16)
    assert np.abs(edits[0, 0, :12] - square[:, 0]).max() < 1.5
    assert not np.allclose(edits[0, 0, 12:], edits[1, 0, 12:])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["by"] == "given"
    assert "middle square" in summary["notes"][0]


def test_a_picture_is_a_first_frame(run, tmp_path):
    Image.fromarray(np.full((16, 16), 90, np.uint8)).save(tmp_path / "first.png")
    out = tmp_path / "out"
    options = ["--method", "extend", "--by", "mmps", "-n", 1, "--out", out, *FEW]
    result = invoke("edit", run, tmp_path / "first.png", *options)
    assert result.exit_code == 0, result.output
    edits = np.load(out / "edits.npy")
    assert edits.shape == (1, 1, 4, 16, 16)
    assert edits[0, 0, 0] == pytest.approx(90, abs=0.01)


def test_frames_between(run, tmp_path):
    data, out = films(tmp_path / "films", 1, 5), tmp_path / "out"
    options = ["--method", "interpolate", "--factor", 3, "-n", 1, "--out", out, *FEW]
    result = invoke("edit", run, data / "0.mp4", *options)
    assert result.exit_code == 0, result.output
    square = read_clip(data / "0.mp4").frames[:, 0, :, 4:20]
    edits = np.load(out / "edits.npy")
    assert edits.shape == (1, 1, 13, 16, 16)
    assert np.abs(edits[0, 0, ::3] - square).max() < 1.5
    assert read_clip(out / "edit-0000.mp4").fps == pytest.approx(24)


def test_a_clip_is_restored_as_any_file(run, tmp_path):
    """Holes in a clip of the run's size, and the operators along time."""
    x = np.zeros((6, 1, 16, 16), np.uint8)
    x[:, :, 4:9, 4:9] = 200
    write_clip(tmp_path / "clip.mp4", x, 8)
    out = tmp_path / "out"
    options = ["--task", "denoise", "--noise", 20, "--samples", 2, "--out", out, *FEW]
    result = invoke("restore", run, tmp_path / "clip.mp4", *options)
    assert result.exit_code == 0, result.output
    assert read_clip(out / "mean.mp4").frames.shape[0] == 6


def test_a_run_of_pictures_starts_one_of_clips(tmp_path):
    """Its frames are the picture model's before anything is learned of time."""
    pictures = np.random.default_rng(0).random((8, 1, 16, 16)).astype(np.float32)
    np.save(tmp_path / "pictures.npy", pictures)
    network = ["--set", "network.channels=8", "--set", "network.groups=4"]
    network += ["--set", "network.blocks=1", "--set", "network.patch=2"]
    network += ["--set", "network.multipliers=[1,2]", "--set", "network.attention_levels=[1]"]
    network += ["--set", "network.shortcut=true", "--set", "training.batch=2", "--steps", "2"]
    network += ["--set", "training.precision=fp32"]
    common = [*network, "--set", "data.dims=2"]
    result = invoke(
        "train", "edm", "--data", tmp_path / "pictures.npy", "--out", tmp_path / "pic", *common
    )
    assert result.exit_code == 0, result.output
    data = films(tmp_path / "films")
    options = ["--set", "data.frames=6", "--set", "data.size=16", "--set", "data.grey=true"]
    options += [*network, "--set", "training.lr=1e-12", "--start", str(tmp_path / "pic")]
    result = invoke("train", "video", "--data", data, "--out", tmp_path / "vid", *options)
    assert result.exit_code == 0, result.output
    picture, clip = (Run.open(tmp_path / name).denoiser for name in ("pic", "vid"))
    x = torch.randn(1, 1, 6, 16, 16)
    t = torch.tensor(0.01, dtype=torch.float64)
    with torch.no_grad():
        frames = torch.stack([picture(x[:, :, k], t).mean for k in range(6)], 2)
        assert torch.allclose(clip(x, t).mean, frames, atol=1e-4)


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (["sample", "RUN", "--class", "1"], "does not know --class"),
        (["sample", "RUN", "--longer", "stretch", "--frames", "9"], "made longer by"),
        (["edit", "RUN", "BAD", "--method", "extend"], "truncated"),
        (["edit", "RUN", "CLIP", "--method", "extend", "--frames", "5"], "extended to more"),
        (["edit", "RUN", "CLIP", "--method", "interpolate", "--factor", "9"], "from one"),
        (["edit", "RUN", "CLIP", "--method", "extend", "--text", "a cat"], "does not know --text"),
        (["edit", "RUN", "STILL", "--method", "interpolate"], "no clip"),
        (["train", "video", "--data", "FILMS", "--set", "data.frames=99"], "99 are asked for"),
        (["train", "edm", "--data", "DIGITS", "--frames", "3"], "No such option"),
    ],
)
def test_bad_input_is_one_sentence(run, tmp_path, command, word):
    data = films(tmp_path / "films", 1)
    (tmp_path / "bad.mp4").write_bytes((data / "0.mp4").read_bytes()[:600])
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "still.png")
    places = {
        "RUN": run,
        "BAD": tmp_path / "bad.mp4",
        "CLIP": data / "0.mp4",
        "STILL": tmp_path / "still.png",
        "FILMS": data,
    }
    out = tmp_path / "out"
    result = invoke(*(places.get(part, part) for part in command), "--out", out)
    assert result.exit_code == 2, result.output
    assert word in result.output
    assert not Path(out).exists()
