"""Bad input: exit status 2, one sentence on stderr, no traceback, nothing written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unfog.cli.main import app


@pytest.fixture
def place(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a good run, good and bad inputs."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, "run")
    shutil.copytree(run, "damaged")
    weights = next(Path("damaged").glob("checkpoints/*/ema.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    Image.fromarray(np.zeros((8, 8), np.uint8) + 9).save("good.png")
    Path("cut.png").write_bytes(Path("good.png").read_bytes()[:40])
    Path("cut.nii.gz").write_bytes(b"\x1f\x8b\x08\x00")
    np.save("text.npy", np.array(["a"]))
    np.save("zeros.npy", np.zeros((8, 8)))
    return tmp_path


TRAIN = "train edm --data digits --out new"
DENOISE = "--task denoise --out new"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train edmm --data digits --out new", "did you mean 'edm'?"),
        ("train edm --data nowhere --out new", "nowhere"),
        ("train edm --data digits --out full", "not empty"),
        (f"{TRAIN} --set training.stepz=3", "did you mean 'training.steps'?"),
        (f"{TRAIN} --set sampling.sampler=hun", "did you mean 'heun'?"),
        (f"{TRAIN} --set training.lr=fast", "training.lr"),
        (f"{TRAIN} --set training.lr", "key=value"),
        (f"{TRAIN} --set process.sigma_max=-1", "must be above 0"),
        (f"{TRAIN} --resume", "new"),
        ("distill nowhere --out new", "nowhere is not a run"),
        ("distill run --out full", "not empty"),
        ("distill run --out new --steps 17", "1 to 16 steps"),
        ("distill run --out new --resume", "does not exist"),
        ("distill damaged --out new", "verifies"),
        (
            "distill run --out new --method consistency --set objective.knotz=3",
            "did you mean 'objective.knots'?",
        ),
        ("distill run --out new --method adversrial", "did you mean 'adversarial'?"),
        ("sample nowhere --out new", "nowhere is not a run"),
        ("sample damaged --out new", "verifies"),
        ("sample run --out full", "full exists"),
        ("sample run --out good.png/new", "good.png"),
        ("sample run --out new --sampler hun", "did you mean 'heun'?"),
        ("sample run --out new --grid karas", "did you mean 'karras'?"),
        ("sample run --out new --class 10", "classes 0 to 9"),
        ("sample run --out new --guidance 2", "--class"),
        (f"restore nowhere good.png {DENOISE}", "nowhere is not a run"),
        (f"restore run nothing.png {DENOISE}", "nothing.png"),
        (f"restore run cut.png {DENOISE}", "cut.png"),
        (f"restore run cut.nii.gz {DENOISE}", "cut.nii.gz"),
        (f"restore run text.npy {DENOISE}", "text.npy"),
        (f"restore run zeros.npy {DENOISE}", "empty"),
        (f"restore run full/mine.txt {DENOISE}", "no known type"),
        (f"restore run good.png {DENOISE} --noise loud", "'loud'"),
        (f"restore run good.png {DENOISE} --noise -1", "'-1'"),
        (f"restore run good.png {DENOISE} --samples 1", "at least 2"),
        (f"restore run good.png {DENOISE} --mask good.png", "for inpainting"),
        ("restore run good.png --task inpaint --out new", "--mask"),
        ("restore run good.png --task inpaint --mask good.png --out new", "mask"),
        ("restore run good.png --task superres --factor 1 --out new", "2 or more"),
        (f"restore run good.png {DENOISE} --method mmp", "did you mean 'mmps'?"),
        ("restore run good.png --task deblur --blur 0 --out new", "above zero"),
        ("restore run good.png --task deblur --blur 9 --out new", "does not fit"),
        ("ema run --length 0.08 --out new", "training.snapshot_every"),
        ("ema nowhere --length 0.08 --out new", "nowhere is not a run"),
        ("ema run --length 0.08 --out full", "full exists"),
        (f"{TRAIN} --set training.snapshot_lengths=[0.1,0.4]", "length of an average"),
        ("inspect nowhere", "nowhere"),
        ("inspect cut.nii.gz", "cut.nii.gz"),
        ("inspect damaged", "verifies"),
        ("data fetch nothing", "nothing"),
        ("data fetch mni-t1 --from nowhere.whl", "nowhere.whl"),
    ],
)
def test_refused_in_one_sentence(
    place: Path, line: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNFOG_CACHE", str(place / "cache"))
    before = sorted(place.rglob("*"))
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("unfog: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert result.stdout == ""
    assert [p for p in sorted(place.rglob("*")) if p not in before and p.name != "cache"] == []


@pytest.mark.parametrize(
    "line",
    [
        "frobnicate",
        "train",
        "sample run",
        "restore run good.png --task mend --out new",
        "sample run -n 0 --out new",
    ],
)
def test_usage_errors_exit_with_2_as_well(place: Path, line: str) -> None:
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    assert not Path("new").exists()


def test_the_real_program_prints_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unfog", "inspect", "nowhere"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("unfog: ")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    from unfog.workflows import inspect

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect, "inspect_path", interrupted)
    result = CliRunner().invoke(app, ["inspect", "x"])
    assert result.exit_code == 130
    assert "Traceback" not in result.stderr
