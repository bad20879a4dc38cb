"""``unfog bulk``: a command's own results for each item, one opening of the model, plain
refusals.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.commands import invoke

from unfog.builtin import open_run
from unfog.files.output import write_image
from unfog.runs.kept import keeping_runs
from unfog.runs.run import Run

DENOISE = "--task denoise --noise 20 --samples 2 --steps 2"


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 255, (8, 8), dtype=np.uint8)
        write_image(folder / f"scan-{k}.png", pixels)
    return folder


def test_items_are_what_the_command_makes_of_each(run, scans, tmp_path, monkeypatch):
    read, opened = Run._read, []
    monkeypatch.setattr(Run, "_read", lambda path: opened.append(path) or read(path))
    out = tmp_path / "out"
    line = f"bulk --items {scans} --out {out} --json restore {run} {{}} {DENOISE}"
    status, printed, _ = invoke(line)
    assert (status, json.loads(printed)["done"], len(opened)) == (0, 3, 1)
    for k in range(3):
        alone = tmp_path / f"alone-{k}"
        invoke(f"restore {run} {scans}/scan-{k}.png {DENOISE} --out {alone}")
        for path in alone.iterdir():
            assert path.read_bytes() == (out / f"scan-{k}" / path.name).read_bytes(), path.name


def test_parts_of_samples_are_the_whole(run, tmp_path):
    sample = f"sample {run} -n 37 --steps 2"
    assert invoke(f"{sample} --out {tmp_path / 'whole'}")[0] == 0
    status, _, told = invoke(f"bulk --parts 3 --out {tmp_path / 'out'} {sample} --shard {{}}")
    assert status == 0, told
    drawn = [np.load(tmp_path / f"out/part-{i}/samples.npy") for i in (1, 2, 3)]
    assert (np.concatenate(drawn) == np.load(tmp_path / "whole/samples.npy")).all()


def test_a_failed_item_is_said_and_the_exit_status_is_1(run, scans, tmp_path):
    (scans / "scan-1.png").write_bytes(b"broken")
    line = f"bulk --items {scans} --out {tmp_path / 'out'} --json restore {run} {{}} {DENOISE}"
    status, printed, _ = invoke(line)
    result = json.loads(printed)
    assert (status, result["done"], list(result["failed"])) == (1, 2, ["scan-1"])
    assert "scan-1.png" in result["failed"]["scan-1"]


@pytest.mark.parametrize(
    ("before", "command", "said"),
    [
        ("--items {scans}", "restore {run} x.png --task denoise", "Write {} where"),
        ("--items {scans}", "inspect {}", "writes no folder"),
        ("--items {scans}", "restor {}", "no command 'restor'"),
        ("--items {scans}", "restore {run} {} --task denoise --out x", "--out goes before"),
        ("--items {scans}", "restore {run} {} --task undo", "'undo' is not one of"),
        ("--items {scans} --shard 4/3", "restore {run} {} --task denoise", "out of range"),
        ("--items {scans} --shard 3", "restore {run} {} --task denoise", "--shard is i/n"),
        ("--items {scans} --workers 2", "restore {run} {} --task denoise", "go with --ray"),
        ("--items {scans} --parts 2", "restore {run} {} --task denoise", "one of them"),
        ("", "restore {run} {} --task denoise", "one of them"),
        ("--ray auto --shard 1/2 --parts 2", "sample {run} --shard {}", "leave --shard or --ray"),
        ("--items {scans}/none", "restore {run} {} --task denoise", "no items"),
    ],
)
def test_bad_input_is_one_sentence(run, scans, tmp_path, before, command, said):
    out = tmp_path / "out"
    words = f"bulk {before} --out {out} {command}".replace("{scans}", str(scans))
    status, _, told = invoke(words.replace("{run}", str(run)))
    assert (status, told.count("\n")) == (2, 1), told
    assert said in told
    assert not out.exists()


def test_a_kept_run_is_opened_once_and_is_the_same(run):
    first = open_run(run)
    with keeping_runs():
        assert open_run(run).denoiser is open_run(run).denoiser
        kept = open_run(run)
    assert open_run(run).denoiser is not kept.denoiser
    assert (kept.sample(2, steps=2) == first.sample(2, steps=2)).all()


def test_subjects_of_bids_go_to_dmri_alone(run, tmp_path):
    root = tmp_path / "set"
    (root / "sub-01").mkdir(parents=True)
    (root / "dataset_description.json").write_text("{}")
    line = f"bulk --items {root} --out {tmp_path / 'out'} restore {run} {{}} --task denoise"
    status, _, told = invoke(line)
    assert status == 2
    assert "whose diffusion scans unfog dmri takes" in told
