"""``unfog train text-to-image`` on a folder with captions, and ``unfog sample --text``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unfog.cli.main import app
from unfog.files.yaml import dump, read
from unfog.runs import text_states

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SMALL = {
    "data.size": 8,
    "text.name": "bytes",
    "text.max_tokens": 32,
    "conditions.text.drop": 0.2,
    "network.channels": 8,
    "network.groups": 4,
    "network.head_dim": 8,
    "training.batch": 4,
    "training.precision": "fp32",
}


def invoke(*line: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(part) for part in line])
    return result.exit_code, result.stdout, result.stderr


def train(data: Path, out: Path, *more: object) -> tuple[int, str, str]:
    pairs = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    line = ("train", "text-to-image", "--data", data, "-o", out, "--steps", 3, *pairs, *more)
    return invoke(*line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of several sizes, and a table of their captions."""
    folder = tmp_path_factory.mktemp("pictures")
    lines = ["file_name,text"]
    for k, (name, colour) in enumerate(COLOURS.items()):
        picture = np.broadcast_to(np.array(colour, np.uint8), (9 + k, 12, 3))
        Image.fromarray(np.ascontiguousarray(picture)).save(folder / f"{name}.png")
        lines.append(f"{name}.png,a {name} wall")
    (folder / "captions.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def walls(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "walls"
    code, _, err = train(folder, out)
    assert code == 0, err
    return out


def test_a_folder_trains_with_its_captions(walls: Path, folder: Path) -> None:
    config = read(walls / "config.yaml")
    assert config["data"]["captions"] is True
    assert config["text"] == {"name": "bytes", "max_tokens": 32}
    assert config["conditions"]["text"]["drop"] == 0.2
    code, _, err = invoke("train", "text-to-image", "-o", walls, "--resume", "--steps", 4)
    assert code == 0, err


def test_samples_keep_their_prompts(walls: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red wall\n\na green wall:1 | a blue wall:3\n")
    out = tmp_path / "out"
    line = ("sample", walls, "--text", f"@{prompts}", "-n", 2, "--negative", "a roof", "-o", out)
    code, text, err = invoke(*line, "--steps", 2, "--json")
    assert code == 0, err
    summary = json.loads(text)
    assert summary["text"] == ["a red wall", "a green wall:1 | a blue wall:3"]
    assert (summary["samples"], summary["negative"]) == (4, "a roof")
    assert summary["guidance"] == 3.0  # the recipe's own
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    assert [row["file_name"] for row in rows] == [
        "sample-0000-a-red-wall.png",
        "sample-0001-a-red-wall.png",
        "sample-0002-a-green-wall-1-a-blue-wall-3.png",
        "sample-0003-a-green-wall-1-a-blue-wall-3.png",
    ]
    assert all((out / row["file_name"]).is_file() for row in rows)


def samples(walls: Path, out: Path, *line: object) -> np.ndarray:
    code, _, err = invoke("sample", walls, "-o", out, "--steps", 3, *line)
    assert code == 0, err
    return np.load(out / "samples.npy")


def test_a_prompt_its_weights_its_negative_and_the_interval_matter(
    walls: Path, tmp_path: Path
) -> None:
    ways = {
        "one": ("--text", "a red wall"),
        "other": ("--text", "a blue wall"),
        "both": ("--text", "a red wall | a blue wall"),
        "negative": ("--text", "a red wall", "--negative", "a blue wall"),
        "strong": ("--text", "a red wall", "--guidance", 8),
        "narrow": ("--text", "a red wall", "--guidance", 8, "--guidance-interval", "1,1e3"),
        "rescaled": ("--text", "a red wall", "--guidance", 8, "--rescale", 0.7),
        "alone": ("--text", "a red wall", "--guidance", 1),
    }
    drawn = {name: samples(walls, tmp_path / name, "-n", 1, *way) for name, way in ways.items()}
    names = list(drawn)
    for k, a in enumerate(names):
        for b in names[k + 1 :]:
            assert not np.array_equal(drawn[a], drawn[b]), (a, b)
    # Weights of which one is all are one prompt; outside its interval guidance is not there.
    again = samples(walls, tmp_path / "w", "-n", 1, "--text", "a red wall:1 | a red wall:5")
    assert np.allclose(again, drawn["one"], rtol=1e-3, atol=1e-1)
    line = ("-n", 1, "--text", "a red wall", "--guidance", 8, "--guidance-interval", "1e6,1e7")
    assert np.array_equal(samples(walls, tmp_path / "i", *line), drawn["alone"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("--text", " "), "A prompt is empty"),
        (("--text", "a | b:-1"), "number above 0"),
        (("--text", "@none.txt"), "no file of prompts"),
        (("--negative", "a roof"), "give --text too"),
        (("--guidance", "3"), "give --text too"),
        (("--rescale", "0.5"), "give --text too"),
        (("--text", "a", "--guidance-interval", "5,1"), "the smaller first"),
        (("--text", "a", "--guidance", "text=2", "--negative", "b"), "go with one scale"),
        (("--text", "a", "--negative", ""), "A prompt is empty"),
    ],
)
def test_bad_input_is_one_sentence(line: tuple[str, ...], message: str, walls: Path) -> None:
    out = walls.parent / "none"
    code, _, err = invoke("sample", walls, "-o", out, *line)
    assert (code, out.exists()) == (2, False)
    assert message in " ".join(err.split())
    assert len(err.strip().splitlines()) <= 3


def test_a_long_prompt_is_cut_and_said(
    walls: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code, _, _ = invoke(
        "sample", walls, "-o", tmp_path / "out", "-n", 1, "--steps", 1, "--text", "red " * 20
    )
    assert code == 0
    assert "the first 32 are read" in caplog.text


def test_a_run_without_text_takes_none(run: Path, tmp_path: Path) -> None:
    code, _, err = invoke("sample", run, "-o", tmp_path / "out", "--text", "a cat")
    assert code == 2
    assert "was trained without text" in " ".join(err.split())


def test_a_run_whose_encoder_is_not_there_says_what_to_do(
    walls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read(walls / "config.yaml")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "checkpoints").symlink_to(walls / "checkpoints")
    (copy / "config.yaml").write_text(dump({**config, "text": {"name": "minilm"}}))
    monkeypatch.setenv("UNFOG_OFFLINE", "1")
    monkeypatch.setenv("UNFOG_CACHE", str(tmp_path / "cache"))
    text_states._built.cache_clear()
    code, _, err = invoke("sample", copy, "-o", tmp_path / "out", "--text", "a cat")
    assert code == 2
    assert "unfog data fetch minilm" in " ".join(err.split())


def test_bad_captions_end_a_training_before_it_begins(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(f"file_name,text\n{folder}/red.png,a red wall\n")
    code, _, err = train(folder, tmp_path / "run", "--set", f"data.captions={table}")
    assert (code, (tmp_path / "run").exists()) == (2, False)
    assert "has no caption for blue.png (2 of 3" in " ".join(err.split())
    code, _, err = invoke(
        "train", "text-to-image", "--data", "random-field", "-o", tmp_path / "run"
    )
    assert (code, (tmp_path / "run").exists()) == (2, False)
    assert "has no captions" in " ".join(err.split())
    code, _, err = train(folder, tmp_path / "run", "--set", "data.size=null")
    assert code == 2
    assert "give size=N" in " ".join(err.split())


def test_a_picture_is_edited_by_text(folder: Path, walls: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "in.png")
    keep = np.zeros((8, 8), np.uint8)
    keep[2:6, 2:6] = 255
    Image.fromarray(keep).save(tmp_path / "hole.png")
    line = ("edit", walls, tmp_path / "in.png", "--steps", 4, "--to", "text=a red wall", "-o")
    inpaint = ("--method", "sdedit", "--mask", tmp_path / "hole.png", "--guidance", 2, "-n", 2)
    code, _, err = invoke(*line, tmp_path / "filled", *inpaint)
    assert code == 0, err
    before, after = (
        np.asarray(Image.open(p)).astype(int)
        for p in (tmp_path / "in.png", sorted((tmp_path / "filled").glob("edit-*.png"))[0])
    )
    assert np.array_equal(before[keep == 0], after[keep == 0])
    assert not np.array_equal(before[keep > 0], after[keep > 0])
    code, _, err = invoke(
        *line, tmp_path / "style", "--method", "inversion", "--from", "text=a blue wall"
    )
    assert code == 0, err
    code, _, err = invoke(*line[:-3], "--to", "text=", "--method", "sdedit", "-o", tmp_path / "no")
    assert code == 2
    assert "prompt is empty" in " ".join(err.split())
