"""A tiny network, a tiny dataset and a tiny run, alike in every test; as a script, a run that is
killed again and again.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unfog.core.conditioning import Conditioner, Context
from unfog.core.conditions import conditions
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import labels
from unfog.core.prediction import predictions
from unfog.core.process import processes
from unfog.data.dataset import ArrayDataset
from unfog.training import checkpoint
from unfog.training.loop import TrainResult, train
from unfog.training.objectives.denoising import objectives
from unfog.training.settings import TrainSettings

CONFIG = {"system": "tiny", "training": {}}


class Net(nn.Module):
    """Two convolutions with dropout in between, so that its randomness is on trial as well."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)
        self.label, self.dropout = nn.Linear(1, 8), nn.Dropout(0.1)
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, x: Tensor, label: Tensor, context: Context) -> Tensor:
        shift = self.label(label[:, None]) + (0 if context.vector is None else context.vector)
        self.calls += 1
        hidden = self.dropout(torch.relu(self.enter(x) + shift[:, :, None, None]))
        return self.leave(hidden)


class Tiny:
    """Makes the parts of a tiny run."""

    config = CONFIG

    @staticmethod
    def dataset(samples: int = 11, seed: int = 0) -> ArrayDataset:
        draw = np.random.default_rng(seed)
        x = draw.random((samples, 1, 1, 1)) * np.ones(
            (1, 1, 8, 8)
        )  # grey squares: something to learn
        described = {"label": {"name": "class", "count": 3}}
        return ArrayDataset(
            "tiny", x, {"name": "range"}, described, {"label": draw.integers(0, 3, samples)}
        )

    @staticmethod
    def denoiser() -> NetworkDenoiser:
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            conditioner = Conditioner(
                {"label": conditions.build({"name": "class", "count": 3}, width=8)}
            )
            return NetworkDenoiser(
                Net(),
                processes.build("edm"),
                predictions.build("edm"),
                labels.build("log-sigma"),
                conditioner,
            )

    @staticmethod
    def settings(**changes: Any) -> TrainSettings:
        base = {
            "steps": 12,
            "batch": 4,
            "lr": 1e-3,
            "warmup": 3,
            "decay": "cosine",
            "ema": 0.99,
            "ema_power": 17.0,
            "checkpoint_every": 3,
        }
        return TrainSettings.of({**base, **changes})

    @staticmethod
    def augment(x: Tensor, generators: list[torch.Generator]) -> Tensor:
        return torch.stack(
            [
                one + 0.01 * torch.randn((), generator=g)
                for one, g in zip(x, generators, strict=True)
            ]
        )

    def train(
        self,
        out: Path,
        *,
        resume: bool = False,
        callback: Callable[..., None] | None = None,
        objective: str = "denoising",
        track: Sequence[str] = (),
        **changes: Any,
    ) -> TrainResult:
        built = objectives.build({"name": objective, "times": "log-normal", "drop": {"label": 0.3}})
        parts = (self.denoiser(), built, self.dataset(), self.augment, self.settings(**changes))
        return train(
            *parts, out, self.config, resume=resume, callback=callback, track=track, device="cpu"
        )

    @staticmethod
    def content(run: Path) -> dict[str, bytes]:
        """All that must be the same however a run was broken."""
        folder, _ = checkpoint.newest_verified(run)
        assert folder is not None
        kept = (*folder.iterdir(), *run.glob("metrics.*"), *run.glob("snapshots/*/*"))
        return {
            str(path.relative_to(run))
            if "snapshots" in path.parts
            else path.name: path.read_bytes()
            for path in kept
        }


@pytest.fixture
def tiny() -> Iterator[Tiny]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Tiny()
    torch.set_num_threads(threads)


def _child(run: Path, settings: dict[str, Any], prepare: Callable[[], None] = lambda: None) -> int:
    """Train in a fork of this process; the fork's id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        prepare()
        Tiny().train(run, resume=(run / "lock").exists(), **settings)
    except BaseException as error:  # the fork must not run on into its parent's code
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)
    os._exit(0)


def killed_at_random(run: Path, kills: int) -> None:
    """Kill a run at random instants, then let it end."""
    settings = {
        "steps": 240,
        "checkpoint_every": 2,
        "snapshot_every": 40,
        "objective": "learned-weight",
    }
    begin = time.monotonic()
    os.waitpid(_child(run / "unbroken", settings), 0)
    whole, draw = time.monotonic() - begin, random.Random(0)
    inside = 0
    for _ in range(kills):
        pid = _child(run / "broken", settings)
        time.sleep(draw.uniform(0.02, 2 * whole / kills))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        inside += any((run / "broken").glob(".*-step-*"))
    _, status = os.waitpid(_child(run / "broken", settings), 0)
    sys.stdout.write(f"{inside} of {kills} kills fell inside a save\n")
    sys.exit(os.waitstatus_to_exitcode(status))


def killed_at_every_write(run: Path) -> None:
    """Kill a run at its n-th fsync or rename, resume it, and go on to the next n, until none is
    left to kill.
    """
    settings = {
        "steps": 6,
        "checkpoint_every": 2,
        "snapshot_every": 3,
        "objective": "learned-weight",
    }
    os.waitpid(_child(run / "unbroken", settings), 0)
    n, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        n += 1
        broken = run / f"broken-{n}"
        _, status = os.waitpid(_child(broken, settings, lambda n=n: _kill_at(n)), 0)
        code = os.waitstatus_to_exitcode(status)
        _, status = os.waitpid(_child(broken, settings), 0)
        if status or Tiny.content(broken) != Tiny.content(run / "unbroken"):
            sys.exit(f"the run killed at write {n} ended differently")
    sys.stdout.write(f"{n - 1} kills\n")
    sys.exit(code)


def _kill_at(n: int) -> None:
    left = [n]

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in ("fsync", "rename", "replace", "mkdir", "rmdir"):
        setattr(os, name, deadly(getattr(os, name)))


if __name__ == "__main__":
    importlib.import_module(
        "torch._dynamo"
    )  # else each fork imports it anew, for a second or two, in its first optimiser step
    torch.set_num_threads(1)
    place = Path(sys.argv[2])
    killed_at_random(place, int(sys.argv[3])) if sys.argv[1] == "random" else killed_at_every_write(
        place
    )
