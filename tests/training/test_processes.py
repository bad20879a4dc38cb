"""Training on several processes: shares that add up, and torchrun's own runs beside one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from unfog.core.random import normal
from unfog.errors import InputError
from unfog.training.objectives.times import Stratified
from unfog.training.order import streams
from unfog.training.processes import Processes, blocks_of

SETTINGS = [
    *("--seed", "3"),
    *("training.batch=8", "training.precision=fp32", "training.checkpoint_every=4"),
    *("network.channels=8", "network.groups=4", "network.dropout=0.0"),
]
LINE = [part if "=" not in part else f"--set={part}" for part in SETTINGS]


def test_shares_draw_what_the_whole_batch_draws() -> None:
    whole = list(range(40, 52))
    shares = [Processes(rank, 3).share(whole) for rank in range(3)]
    assert [list(share) for share in shares] == [whole[:4], whole[4:8], whole[8:]]
    for draw in (
        lambda s: Stratified()(1, 7, s),
        lambda s: normal((len(s), 5), streams("noise", 1, 7, s)),
    ):
        torch.testing.assert_close(
            torch.cat([draw(s) for s in shares]), draw(whole), rtol=0, atol=0
        )


@pytest.mark.parametrize(("batch", "count", "near"), [(8, 3, 9), (10, 4, 8), (2, 3, 3)])
def test_a_batch_that_does_not_divide_is_told_the_nearest(
    batch: int, count: int, near: int
) -> None:
    with pytest.raises(InputError, match=rf"training.batch={near}\."):
        Processes(0, count).check_batch(batch)
    Processes(0, count).check_batch(near)


def test_blocks_are_what_is_called_within_lists() -> None:
    class Level(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.idle = nn.Linear(2, 2), nn.ReLU()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.down = nn.Linear(2, 2), nn.ModuleList([Level(), Level()])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    net = Net()
    assert list(blocks_of(net)) == [level.block for level in net.down]


def test_torchrun_is_refused_what_it_cannot_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from unfog.cli.main import app

    np.save(tmp_path / "x.npy", np.zeros((8, 1, 8, 8), np.float32))
    line = ["train", "ddpm", "--data", str(tmp_path / "x.npy"), "--out", str(tmp_path / "run")]
    monkeypatch.setenv("WORLD_SIZE", "3")
    asked = CliRunner().invoke(app, [*line, *LINE, "--steps", "2"])
    assert (asked.exit_code, "does not divide among 3 processes" in asked.stderr) == (2, True)
    asked = CliRunner().invoke(app, [*line, *LINE, "--minutes", "1"])
    assert (asked.exit_code, "--steps" in asked.stderr) == (2, True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for system in ("gan", "autoencoder-kl"):
        asked = CliRunner().invoke(app, ["train", system, *line[2:], "--steps", "2"])
        assert (asked.exit_code, "trains on one process" in asked.stderr) == (2, True)
        assert not (tmp_path / "run").exists()
    monkeypatch.setenv("WORLD_SIZE", "1")
    asked = CliRunner().invoke(app, [*line, *LINE, "--steps", "2", "--parallel", "dpp"])
    assert (asked.exit_code, "ddp" in asked.stderr) == (2, True)
    assert not (tmp_path / "run").exists()


def command(processes: int, out: Path, *options: str) -> list[str]:
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    return [
        sys.executable,
        *(torchrun if processes > 1 else []),
        *("-m", "unfog", "train", "ddpm", "--data", str(out.parent / "x.npy"), "--out", str(out)),
        *LINE,
        *options,
    ]


def train(processes: int, out: Path, *options: str) -> None:
    done = subprocess.run(command(processes, out, *options), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def tensors(run: Path, name: str) -> dict[str, torch.Tensor]:
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    return safetensors.torch.load_file(newest / f"{name}.safetensors")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    x = np.random.default_rng(0).standard_normal((32, 1, 8, 8)).astype(np.float32)
    np.save(folder / "x.npy", x)
    train(1, folder / "one", "--steps", "4")
    train(1, folder / "one", "--resume", "--steps", "8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("parallel", "then"), [("ddp", 1), ("fsdp", 2)])
def test_two_processes_are_one_and_go_on(place: Path, parallel: str, then: int) -> None:
    """4 steps on two processes and 4 on another number: the weights, their average and the
    optimiser of as many on one.
    """
    run = place / parallel
    train(2, run, "--parallel", parallel, "--steps", "4")
    train(then, run, "--parallel", parallel, "--resume", "--steps", "8")
    for name in ("weights", "ema", "optimizer"):
        ours, one = tensors(run, name), tensors(place / "one", name)
        assert ours.keys() == one.keys()
        for key, value in one.items():
            torch.testing.assert_close(ours[key], value, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_lost_process_ends_the_run_by_name_and_it_resumes(place: Path) -> None:
    run = place / "lost"
    line = command(2, run, "--steps", "4000")
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as work:
        while not list((run / "checkpoints").glob("step-*")) if run.exists() else True:
            assert work.poll() is None
            time.sleep(0.1)
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(work.pid)], capture_output=True, text=True
        )
        begun = time.monotonic()
        os.kill(max(int(pid) for pid in listed.stdout.split()), signal.SIGKILL)
        said = work.stderr.read() if work.stderr else ""
        assert work.wait(timeout=60) != 0
    assert time.monotonic() - begun < 60
    assert "--resume" in said
    step = int(sorted((run / "checkpoints").glob("step-*"))[-1].name.removeprefix("step-"))
    train(1, run, "--resume", "--steps", str(step + 1))
