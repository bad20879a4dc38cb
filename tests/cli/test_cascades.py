"""Cascades at the command line: trained stage by stage, drawn from by one command, gone on with
after a kill.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from unfog.cli.main import app
from unfog.runs import cascade as cascades
from unfog.runs import cascade_edit
from unfog.runs.cascade import TrainedCascade, Wanted

WORDS = ("red", "blue")
NETWORK = {
    "network.channels": 8,
    "network.groups": 4,
    "training.batch": 4,
    "training.precision": "fp32",
}
TINY = {
    "base": {"data.size": 8, **NETWORK},
    "upsampler-1": {"data.size": 16, "conditions.low.factor": 2, **NETWORK},
    "upsampler-2": {"data.size": 32, "data.crop": 16, "conditions.low.factor": 2, **NETWORK},
}
ENCODER = {"joint_encoder.channels": 8, "joint_encoder.embedding": 8, "joint_encoder.width": 16}
TINY_DALLE2 = {
    "encoder": {"data.size": 8, "training.batch": 4, **ENCODER},
    "prior": {
        "data.size": 8,
        "network.depth": 1,
        "network.width": 16,
        "network.heads": 2,
        "training.batch": 4,
    },
    "decoder": TINY["base"],
    "upsampler-1": TINY["upsampler-1"],
    "upsampler-2": TINY["upsampler-2"],
}


def invoke(*line: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(part) for part in line])
    return result.exit_code, " ".join(result.stderr.split())


def train(name: str, stage: str, data: Path, out: Path, *more: object, text: Path) -> None:
    sizes = (TINY if name == "imagen" else TINY_DALLE2)[stage]
    settings = {
        **sizes,
        **(
            {}
            if stage.startswith("up") and name == "dalle2"
            else {
                "text.name": "clip",
                "text.path": text,
            }
        ),
    }
    if name == "dalle2" and stage == "decoder":
        settings = dict(sizes)
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    line = ("train", name, "--stage", stage, "--data", data, "--out", out, "--steps", 2)
    code, err = invoke(*line, *pairs, *more)
    assert code == 0, err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of 32 x 32 with captions."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    draw, lines = np.random.default_rng(0), ["file_name,text"]
    for k in range(6):
        picture = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{k}.png")
        lines.append(f"{k}.png,a {WORDS[k % 2]} heart")
    (folder / "captions.csv").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize("name", ["imagen", "dalle2"])
def test_a_cascade_from_its_first_stage_to_pictures(
    name: str, folder: Path, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNFOG_CACHE", str(tmp_path / "cache"))
    out = tmp_path / name
    # A stage before the one that it needs, and a cascade that is not whole.
    if name == "dalle2":
        code, err = invoke("train", name, "--stage", 2, "--data", folder, "--out", out)
        assert code == 2
        assert "needs the stage encoder" in err
    for stage in TINY if name == "imagen" else TINY_DALLE2:
        line = ("sample", out, "--text", "red heart", "-o", tmp_path / "early")
        code, err = invoke(*line)
        assert code == 2
        assert not (tmp_path / "early").exists()
        train(name, stage, folder, out, text=clip_folder)
    # Drawn by one command: 32 x 32, from a stage that was trained on squares of 16.
    line = ("sample", out, "--text", "red heart", "-n", 2, "--steps", 2)
    code, err = invoke(*line, "-o", tmp_path / "new", "--guidance", 2)
    assert code == 0, err
    x = np.load(tmp_path / "new" / "samples.npy")
    assert x.shape == (2, 3, 32, 32)
    assert len(list((tmp_path / "new").glob("sample-000*red-heart.png"))) == 2
    assert json.loads((tmp_path / "new" / "summary.json").read_text())["cascade"] == name

    if name == "dalle2":
        edits(folder, out, tmp_path)
    # Killed in the last stage, it goes on there and gives the same.
    drawn: list[str] = []
    real = cascades._draw_stage

    def dies(run, *rest):
        drawn.append(run.name)
        if run.name == "upsampler-2" and drawn.count("upsampler-2") == 1:
            raise KeyboardInterrupt
        return real(run, *rest)

    monkeypatch.setattr(cascades, "_draw_stage", dies)
    line = (*line, "--guidance", 2, "-o", tmp_path / "again")
    assert invoke(*line)[0] != 0
    assert not (tmp_path / "again").exists()
    assert invoke(*line)[0] == 0
    assert drawn.count("upsampler-1") == 1
    assert drawn.count("upsampler-2") == 2
    assert np.array_equal(np.load(tmp_path / "again" / "samples.npy"), x)
    assert not list(tmp_path.glob(".unfog-stages*"))


def edits(folder: Path, out: Path, tmp_path: Path) -> None:
    """Variations, and pictures between two, both ends counted."""
    line = ("edit", out, folder / "0.png", "--steps", 2, "-n", 3, "-o")
    code, err = invoke(*line, tmp_path / "var", "--method", "variations")
    assert code == 0, err
    first = np.load(tmp_path / "var" / "samples.npy")
    assert first.shape == (3, 3, 32, 32)
    assert np.abs(first[0] - first[1]).max() > 1
    other = ("--other", folder / "1.png")
    code, err = invoke(*line, tmp_path / "between", "--method", "interpolate", *other)
    assert code == 0, err
    assert np.load(tmp_path / "between" / "samples.npy").shape == (3, 3, 32, 32)
    for more, said in [
        (("--method", "interpolate"), "takes a second picture"),
        (("--method", "variations", *other), "takes a second picture"),
        (("--method", "sdedit"), "is of a run of pictures"),
        (("--method", "variations", "--to", "text=a cat"), "does not know --to"),
    ]:
        code, err = invoke(*line, tmp_path / "no", *more)
        assert (code, (tmp_path / "no").exists()) == (2, False)
        assert said in err
    code, err = invoke(
        "edit", out / "decoder", *line[2:], tmp_path / "no", "--method", "variations"
    )
    assert code == 2
    assert "is of a cascade" in err


def test_the_ends_of_an_interpolation_are_the_pictures(
    folder: Path, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded by DDIM from the noise that inversion finds, whatever the decoder has learned."""
    monkeypatch.setenv("UNFOG_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "dalle2"
    for stage in TINY_DALLE2:
        train("dalle2", stage, folder, out, text=clip_folder)
    cascade = TrainedCascade.open(out)
    pictures = torch.rand(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    wanted = Wanted((), 3, steps=20)
    kept: list[torch.Tensor] = []
    monkeypatch.setattr(
        cascade_edit,
        "draw_cascade",
        lambda _, __, known, report: kept.append(known("decoder")) or kept[0],
    )
    found = cascade_edit.between(cascade, pictures[0], pictures[1], wanted)
    assert torch.allclose(found[[0, 2]], pictures[:, 0], atol=2.0)  # of 255
    assert (found[1] - pictures[0, 0]).abs().max() > 20


def test_what_cannot_be_is_refused(folder: Path, clip_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "imagen"
    for line, said in [
        (("train", "imagen", "--data", folder, "--out", out), "give --stage one of 1 (base)"),
        (("train", "imagen", "--stage", "4", "--data", folder, "--out", out), "stage of imagen"),
        (("train", "edm", "--stage", "1", "--data", folder, "--out", out), "is no cascade"),
        (("train", "imagen", "--stage", "1", "--data", folder, "--out", folder), "is no cascade"),
    ]:
        code, err = invoke(*line)
        assert (code, out.exists()) == (2, False)
        assert said in err
    # Stages that do not fit: the upsampler is made for larger pictures than the base draws.
    for stage, sizes in TINY.items():
        larger = {**sizes, "data.size": 64, "data.crop": 32} if stage == "upsampler-2" else sizes
        pairs = [part for key, v in larger.items() for part in ("--set", f"{key}={v}")]
        pairs += ["--set", "text.name=bytes"]
        line = ("train", "imagen", "--stage", stage, "--data", folder, "--out", out, "--steps", 1)
        assert invoke(*line, *pairs)[0] == 0
    line = ("sample", out, "--text", "red heart", "-n", 1, "-o", tmp_path / "new")
    assert invoke(*line)[0] == 0
    larger = ("--set", "data.size=64", "--set", "data.crop=64")
    import shutil

    shutil.rmtree(out / "upsampler-2")
    pairs = [p for k, v in TINY["upsampler-2"].items() for p in ("--set", f"{k}={v}")]
    train_line = ("train", "imagen", "--stage", 3, "--data", folder, "--out", out, "--steps", 1)
    assert invoke(*train_line, *pairs, *larger, "--set", "text.name=bytes")[0] == 0
    code, err = invoke("sample", out, "--text", "red heart", "-o", tmp_path / "no")
    assert code == 2
    assert "train one of them anew" in err
    for more, said in [
        (("--class", 1), "does not know --class"),
        (("--guidance", "text=2"), "is one number"),
    ]:
        code, err = invoke("sample", out, "--text", "red", "-o", tmp_path / "no", *more)
        assert code == 2
        assert said in err
    code, err = invoke("sample", out, "-o", tmp_path / "no")
    assert code == 2
    assert "give --text" in err
