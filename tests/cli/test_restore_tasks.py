"""Colour, low light, HDR and custom operators on the command line, on a colour run of one step; and
calibrated uncertainty.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unfog.cli.main import app
from unfog.files.sealed import write_sealed

SMALL = ["--set", "training.batch=4", "--set", "network.channels=8", "--set", "network.groups=4"]
SHORT = ["--samples", "2", "--steps", "3"]


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 8 x 8 colour pictures in [0, 255]; what it learned does not matter."""
    folder = tmp_path_factory.mktemp("colour")
    np.save(
        folder / "x.npy", np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8)).astype(np.uint8)
    )
    line = [
        "train",
        "edm",
        "--data",
        str(folder / "x.npy"),
        "--out",
        str(folder / "run"),
        "--steps",
        "1",
        *SMALL,
    ]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    return folder / "run"


@pytest.fixture
def place(tmp_path: Path, colour: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with both runs and files to restore."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(colour, "colour")
    shutil.copytree(run, "grey")
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(ramp).save("grey.png")
    Image.fromarray((ramp % 8 == 3).astype(np.uint8)).save("hole.png")
    Image.fromarray(257 * ramp.astype(np.uint16)).save("deep.png")
    for name, factor in {"dark": 0.5, "mid": 1.0, "bright": 2.0}.items():
        picture = np.stack([ramp * 2.0, ramp[::-1] * 3.0, ramp.T * 1.0], -1)
        Image.fromarray((factor * picture).clip(0, 255).astype(np.uint8)).save(f"{name}.png")
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save("flat.png")
    Image.fromarray(
        np.zeros((12, 20, 3), np.uint8) + ramp.repeat(4)[: 12 * 20].reshape(12, 20, 1)
    ).save("large.png")
    np.save("grey.npy", ramp.astype(np.float32))
    np.save("small.npy", ramp[:4, :4].astype(np.float32))
    Path("joint.yaml").write_text(
        "- {name: blur, deviation: 0.6}\n- {name: blocks, factor: 2}\n- grey\n"
    )
    Path("typo.yaml").write_text("{name: blur, deviaton: 0.6}\n")
    Path("unknown.yaml").write_text("- {name: blurr, deviation: 0.6}\n")
    Path("text.yaml").write_text("3\n")
    Path("ragged.yaml").write_text("{name: kernel, values: [[1, 2], [3]]}\n")
    np.save(
        "held-out.npy", np.random.default_rng(1).integers(0, 17, (20, 1, 8, 8)).astype(np.uint8)
    )
    return tmp_path


def call(line: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*line.split(), "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def restore(line: str) -> dict[str, Any]:
    return call(f"restore {line} {' '.join(SHORT)} --out out")


@pytest.mark.parametrize("name", ["grey.png", "deep.png"])
def test_a_grey_picture_becomes_a_colour_picture(place: Path, name: str) -> None:
    restore(f"colour {name} --task colorize")
    with Image.open("out/mean.png") as picture:
        assert (picture.size, picture.mode) == ((8, 8), "RGB")


def test_a_grey_array_becomes_three_channels(place: Path) -> None:
    restore("colour grey.npy --task colorize --noise 1 --method gdp")
    assert np.load("out/mean.npy").shape == (3, 8, 8)


def test_a_dark_picture_comes_back_with_its_exposure(place: Path) -> None:
    found = restore("colour dark.png --task lowlight")
    assert json.loads(Path("out/summary.json").read_text())["exposures"] == found["exposures"]
    ((factor,), (offset,)) = found["exposures"][0]["factor"], found["exposures"][0]["offset"]
    with Image.open("out/mean.png") as picture, Image.open("dark.png") as dark:
        line = np.polyfit(np.asarray(picture, float).ravel(), np.asarray(dark, float).ravel(), 1)
    np.testing.assert_allclose(
        [factor, offset], line, rtol=0.15, atol=2
    )  # the picture is rounded and clipped
    assert found["files"] == ["mean.png", "std.png", "sample-00.png", "sample-01.png"]


def test_a_dark_picture_with_holes_or_coarse_pixels_is_one_task(place: Path) -> None:
    found = restore("colour dark.png --task lowlight --mask hole.png")
    assert (found["task"], len(found["exposures"]), Image.open("out/mean.png").size) == (
        "lowlight",
        1,
        (8, 8),
    )
    shutil.rmtree("out")
    restore("colour small.npy --task lowlight --operator joint.yaml")
    assert np.load("out/mean.npy").shape == (3, 8, 8)


def test_a_picture_larger_than_the_run_is_restored_in_tiles(place: Path) -> None:
    restore("colour large.png --task lowlight")
    assert Image.open("out/mean.png").size == (20, 12)


def test_three_exposures_become_one_picture(place: Path) -> None:
    found = restore("colour dark.png mid.png bright.png --task hdr")
    factors = [part["factor"][0] for part in found["exposures"]]
    assert [part["input"] for part in found["exposures"]] == ["input 1", "input 2", "input 3"]
    assert factors == sorted(factors)
    assert Image.open("out/mean.png").size == (8, 8)


def test_an_operator_from_a_file_is_undone(place: Path) -> None:
    """Blurred, made coarse and grey: the mean has the run's channels and the finer grid."""
    found = restore("colour small.npy --task custom --operator joint.yaml --noise 1")
    assert np.load("out/mean.npy").shape == (3, 8, 8)
    assert found["task"] == "custom"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("restore grey grey.png --task colorize", "3 channels"),
        ("restore colour dark.png --task colorize", "1 in 2 are expected"),
        ("restore colour dark.png --task hdr", "two exposures"),
        ("restore colour dark.png mid.png --task denoise", "one input"),
        ("restore colour dark.png large.png --task hdr", "of one size"),
        ("restore colour flat.png --task lowlight", "flat.png"),
        ("restore colour dark.png --task lowlight --sampler ddim", "--sampler"),
        ("restore colour dark.png --task lowlight --samples 1", "at least 2"),
        (
            "restore colour dark.png --task lowlight --mask large.png",
            "one mask on the input's grid",
        ),
        (
            "restore colour dark.png --task lowlight --mask hole.png --operator joint.yaml",
            "not both",
        ),
        ("restore colour grey.npy --task custom", "--operator"),
        ("restore colour dark.png --task denoise --operator joint.yaml", "custom"),
        (
            "restore colour small.npy --task custom --operator typo.yaml",
            "did you mean 'deviation'?",
        ),
        ("restore colour small.npy --task custom --operator unknown.yaml", "did you mean 'blur'?"),
        ("restore colour small.npy --task custom --operator text.yaml", "or a list of them"),
        ("restore colour small.npy --task custom --operator ragged.yaml", "lists of one length"),
        ("restore colour small.npy --task custom --operator nowhere.yaml", "nowhere.yaml"),
        ("restore grey small.npy --task custom --operator joint.yaml", "joint.yaml does not make"),
        ("calibrate-uncertainty grey --data nowhere --task denoise --noise 1", "nowhere"),
        ("calibrate-uncertainty grey --data held-out.npy --task denoise --noise 0", "above 0"),
        (
            "calibrate-uncertainty grey --data held-out.npy --task denoise --noise 1 --images 21",
            "2 to 20 images",
        ),
        (
            "calibrate-uncertainty colour --data held-out.npy --task denoise --noise 1",
            "works on images",
        ),
        ("calibrate-uncertainty grey --data held-out.npy --task colorize --noise 1", "3 channels"),
        (
            "calibrate-uncertainty colour --data held-out.npy --task mri --noise 1",
            "one channel and two dimensions",
        ),
        (
            "calibrate-uncertainty grey --data held-out.npy --task mri --noise 1 --acceleration 9",
            "measure more of them",
        ),
    ],
)
def test_refused_in_one_sentence(place: Path, line: str, words: str) -> None:
    before = sorted(place.rglob("*"))
    result = CliRunner().invoke(
        app, [*line.split(), *([] if "calibrate" in line else ["--out", "new"])]
    )
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("unfog: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("task", ["mri --acceleration 2 --coils 2", "ct --views 5"])
def test_raw_data_are_simulated_to_learn_a_factor(place: Path, task: str) -> None:
    made = call(
        f"calibrate-uncertainty grey --data held-out.npy --task {task} --noise 2 --images 4 "
        "--samples 2 --steps 2"
    )
    assert abs(made["covered after"] - 0.9) < 0.01
    record = json.loads(Path(f"grey/uncertainty/{made['task']}.json").read_text())
    assert (record["task"], record["scale"]) == (task.split()[0], made["scale"])


def test_a_learned_factor_is_kept_and_applied(place: Path) -> None:
    line = (
        "calibrate-uncertainty grey --data held-out.npy --task denoise --noise 4 --images 8 "
        "--samples 2 --steps 3"
    )
    made = call(line)
    assert abs(made["covered after"] - 0.9) < 0.01
    record = json.loads(Path("grey/uncertainty/denoise.json").read_text())
    assert record["scale"] == made["scale"]
    assert restore("grey grey.npy --task denoise --noise 4")["std scale"] == made["scale"]
    again = CliRunner().invoke(app, line.split())
    assert (again.exit_code, "--overwrite" in again.stderr) == (2, True)
    assert call(line + " --overwrite")["scale"] == made["scale"]
    other = {**record, "weights_sha256": "other"}
    write_sealed(Path("grey/uncertainty/denoise.json"), other, overwrite=True)
    refused = CliRunner().invoke(
        app, ["restore", "grey", "grey.npy", "--task", "denoise", "--out", "new", *SHORT]
    )
    assert (refused.exit_code, "other weights" in refused.stderr, Path("new").exists()) == (
        2,
        True,
        False,
    )
