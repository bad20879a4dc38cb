"""Calibrated solvers: learned, saved and used through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from unfog.cli.main import app
from unfog.errors import InputError
from unfog.files.sealed import write_sealed
from unfog.runs.calibrate import load_solver, save_solver
from unfog.runs.run import Run
from unfog.runs.train import train_system
from unfog.sampling.calibration.solver import LinearSolver


def call(*arguments: object, status: int = 0) -> Any:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if status == 0 else result.stderr


SMALL = [
    "network.channels=8",
    "network.multipliers=[1,2]",
    "network.blocks=1",
    "network.groups=4",
    "training.batch=16",
    "training.steps=60",
    "sampling.clip=null",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("solvers") / "run"
    train_system(
        "ddpm", "digits", out, [*SMALL, "training.lr=2e-3", "training.warmup=5", "training.ema=0.9"]
    )
    return out


@pytest.mark.slow
def test_calibrate_then_sample_nearer_to_the_exact_samples(run: Path, tmp_path: Path) -> None:
    made = call("calibrate", run, "--steps", 4, "--trajectories", 16, "--iterations", 16)
    assert made["error_after"] < made["error_before"]
    record = json.loads((run / "solvers/calls-0004.json").read_text())
    assert (len(record["times"]), record["times"][0], record["times"][-1]) == (5, 1.0, 0.0)
    told = call(
        "sample",
        run,
        "-n",
        8,
        "--sampler",
        "calibrated",
        "--steps",
        4,
        "--seed",
        5,
        "--out",
        tmp_path / "calibrated",
    )
    assert (told["sampler"], told["steps"]) == ("calibrated", 4)
    assert (
        call(
            "sample",
            run,
            "-n",
            8,
            "--sampler",
            "auto",
            "--steps",
            4,
            "--seed",
            5,
            "--out",
            tmp_path / "auto",
        )["sampler"]
        == "calibrated"
    )
    assert (
        call("sample", run, "-n", 1, "--sampler", "auto", "--steps", 5, "--out", tmp_path / "few")[
            "sampler"
        ]
        == "dpmpp-2m"
    )
    assert (
        call(
            "sample", run, "-n", 1, "--sampler", "auto", "--steps", 20, "--out", tmp_path / "many"
        )["sampler"]["name"]
        == "adams"
    )
    gridded = call(
        "sample",
        run,
        "-n",
        1,
        "--sampler",
        "auto",
        "--steps",
        4,
        "--grid",
        "trailing",
        "--out",
        tmp_path / "gridded",
    )
    assert gridded["sampler"] == "dpmpp-2m"  # a calibrated solver has times of its own
    for name, steps in {"ddim": 4, "exact": 200}.items():
        call(
            "sample",
            run,
            "-n",
            8,
            "--sampler",
            "ddim",
            "--steps",
            steps,
            "--seed",
            5,
            "--out",
            tmp_path / name,
        )
    x = {
        name: np.load(tmp_path / name / "samples.npy")
        for name in ("calibrated", "auto", "ddim", "exact")
    }
    np.testing.assert_array_equal(x["auto"], x["calibrated"])
    error = {name: np.square(x[name] - x["exact"]).mean() for name in ("calibrated", "ddim")}
    assert error["calibrated"] < 0.5 * error["ddim"]


def test_a_solver_comes_back_as_it_was_saved(run: Path) -> None:
    opened = Run.open(run)
    mean = torch.linspace(-1, 1, 64).view(opened.shape)
    times, weights = (
        torch.tensor([1.0, 0.7, 0.2, 0.0]).double(),
        torch.tensor([[1, 0, 0], [0.3, 0.7, 0], [0.1, -0.4, 1.3]]).double(),
    )
    for given in (None, mean):
        solver = LinearSolver(times, weights, torch.tensor([0.9, 0.3, 0.01]).double(), given)
        save_solver(opened, solver, {}, overwrite=True)
        found = load_solver(opened, 3 if given is None else 2)
        for name in ("times", "weights", "shares"):
            assert torch.equal(getattr(found, name), getattr(solver, name))
        assert found.mean is None if given is None else torch.equal(found.mean, mean)  # type: ignore[arg-type]
    told = call(
        "sample",
        run,
        "-n",
        2,
        "--sampler",
        "calibrated",
        "--steps",
        2,
        "--out",
        run.parent / "from-mean",
    )
    assert told["steps"] == 2
    (run / "solvers/calls-0002.safetensors").unlink()
    with pytest.raises(InputError, match="is missing; calibrate again"):
        load_solver(opened, 2)
    path = run / "solvers/calls-0002.json"
    path.write_text(
        json.dumps(
            {
                key: value
                for key, value in json.loads(path.read_text()).items()
                if key not in ("shares", "sha256")
            }
        )
    )
    with pytest.raises(InputError, match="earlier version"):
        load_solver(opened, 2)
    for made in (run / "solvers").iterdir():
        made.unlink()


def test_bad_input(run: Path, tmp_path: Path) -> None:
    call("calibrate", run, "--steps", 3, "--trajectories", 8, "--iterations", 0)
    assert "--overwrite" in call("calibrate", run, "--steps", 3, "--trajectories", 8, status=2)
    call("calibrate", run, "--steps", 3, "--trajectories", 8, "--iterations", 0, "--overwrite")
    assert "at least 8 trajectories" in call(
        "calibrate", run, "--steps", 9, "--trajectories", 7, status=2
    )
    wanted = ["sample", run, "--sampler", "calibrated", "--out", tmp_path / "new"]
    assert "no calibrated solver of 7 calls" in call(*wanted, "--steps", 7, status=2)
    assert "times of its own" in call(*wanted, "--steps", 3, "--grid", "trailing", status=2)
    path = run / "solvers/calls-0003.json"
    record = {**json.loads(path.read_text()), "weights_sha256": "other"}
    write_sealed(path, record, overwrite=True)
    assert "other weights" in call(*wanted, "--steps", 3, status=2)
    assert not (tmp_path / "new").exists()
