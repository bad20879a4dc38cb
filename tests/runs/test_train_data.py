"""Resumed runs go on with their own data, wherever these now lie, and with no others."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unfog.errors import InputError
from unfog.files import yaml
from unfog.files.nifti import new_volume, write_nifti
from unfog.runs.folder import run_config
from unfog.runs.train import train_system
from unfog.training.checkpoint import newest_verified
from unfog.training.identity import hash_of
from unfog.training.settings import TrainSettings

SMALL = ["network.channels=8", "network.groups=4", "training.batch=2", "training.warmup=1"]


def pictures(folder: Path, seed: int) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for k in range(3):
        Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(folder / f"{k}.png")
    return folder


def volumes(folder: Path, seed: int) -> Path:
    folder.mkdir(parents=True)
    data = np.random.default_rng(seed).uniform(0, 9, (8, 8, 3)).astype(np.float32)
    write_nifti(folder / "a.nii.gz", data, new_volume(data, np.eye(4)))
    return folder


def array(folder: Path, seed: int) -> Path:
    folder.mkdir(parents=True)
    np.save(folder / "a.npy", np.random.default_rng(seed).normal(size=(4, 8, 8)))
    return folder / "a.npy"


def go(out: Path, data: Path | str | None, steps: int, resume: bool = True, *more: str) -> int:
    extra = more if resume else (*SMALL, *more)
    told = train_system(
        "edm",
        None if data is None else str(data),
        out,
        [f"training.steps={steps}", *extra],
        resume=resume,
    )
    return int(told["step"])


def place(out: Path) -> str:
    assert yaml.read(out / "config.yaml")["data"]["path"] == "local.yaml"
    return str(run_config(out)["data"]["path"])


@pytest.mark.parametrize("make", [pictures, volumes, array])
def test_moved_data_go_on_and_others_are_refused(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    first, other = make(tmp_path / "first", 0), make(tmp_path / "other", 1)
    out = tmp_path / "run"
    go(out, first.relative_to(tmp_path), 1, resume=False)
    assert place(out) == str(first)  # stored absolute
    for steps, data in ((2, None), (3, first), (4, first.relative_to(tmp_path))):
        assert go(out, data, steps) == steps
    with pytest.raises(InputError, match=r"training data changed .*other"):
        go(out, other, 5)
    assert place(out) == str(first)
    # Moved: its new place is kept, its old one is said to be gone.
    (tmp_path / "first").rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"no file or folder .*first.*--data its new place"):
        go(out, None, 5)
    moved = tmp_path / "moved" / first.relative_to(tmp_path / "first")
    assert go(out, moved.relative_to(tmp_path), 5) == 5
    assert place(out) == str(moved)
    assert go(out, None, 6) == 6


def test_names_and_paths_are_not_exchanged(tmp_path):
    folder, out, named = pictures(tmp_path / "a", 0), tmp_path / "run", tmp_path / "named"
    go(out, folder, 1, resume=False)
    with pytest.raises(InputError, match=r"trained on .*a, not on digits"):
        go(out, "digits", 2)
    with pytest.raises(InputError, match=r"no file or folder '.*nowhere'"):
        go(out, tmp_path / "nowhere", 2)
    with pytest.raises(InputError, match="training data changed"):
        go(out, folder, 2, True, "data.size=4")
    go(named, "digits", 1, resume=False)
    for wrong in ("textures", folder):
        with pytest.raises(InputError, match="trained on digits"):
            go(named, wrong, 2)
    assert go(named, "digits", 2) == 2


def test_a_new_run_needs_data_and_one_without_checkpoint_keeps_its_own(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(InputError, match="needs data; give --data"):
        go(out, None, 1, resume=False)
    go(out, pictures(tmp_path / "a", 0), 1, resume=False)
    shutil.rmtree(out / "checkpoints")
    with pytest.raises(InputError, match="no checkpoint yet"):
        go(out, pictures(tmp_path / "b", 1), 2)
    assert go(out, tmp_path / "a", 2) == 2


def test_a_path_that_a_setting_names_is_stored_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "a", 0)
    pictures(tmp_path / "b", 1)
    go(tmp_path / "run", "a", 1, False, "data.path=b")
    assert place(tmp_path / "run") == str(tmp_path / "b")


@pytest.mark.parametrize("relative", [False, True])
def test_runs_whose_checkpoints_hash_the_path_go_on(tmp_path, monkeypatch, relative):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "a", 0)
    out = tmp_path / "run"
    go(out, "a", 1, resume=False)
    # As it was written before paths were left out of the hash.
    config = run_config(out)
    if relative:
        config["data"]["path"] = "a"
    (out / "config.yaml").write_text(yaml.dump(config))
    (out / "recorded.json").unlink()  # nor were there records
    (out / "local.yaml").unlink()
    newest, _ = newest_verified(out)
    state = json.loads((newest / "state.json").read_bytes())
    state["config"] = hash_of(config, TrainSettings.of(config["training"]))
    content = json.dumps(state).encode()
    (newest / "state.json").write_bytes(content)
    manifest = json.loads((newest / "manifest.json").read_bytes())
    manifest["state.json"] = hashlib.sha256(content).hexdigest()
    (newest / "manifest.json").write_text(json.dumps(manifest))
    assert go(out, None, 2) == 2
