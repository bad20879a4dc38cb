"""A small model learns before your eyes: about a minute of the library's own training, looked at as
it goes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from unfog.data.dataset import open_dataset
from unfog.demo.terminal import Show
from unfog.progress import Report
from unfog.report import grey
from unfog.runs.run import Run, export
from unfog.runs.sample import Plan, draw
from unfog.runs.train import configure, rate, train_config
from unfog.systems.registry import Config

SYSTEM = "t1-prior"
# 48 x 40: a quarter of the pixels learns in a quarter of the time
DATA: Config = {"name": "mni-t1", "resolution": 4.0}
SMALLER = (
    "network.channels=32",
    "network.multipliers=[1, 2, 2]",
    "network.patch=1",
    "network.dropout=0.0",
    "augment.name=none",
    "training.batch=8",
    "training.lr=1e-3",
    "training.warmup=30",
)
TENTHS = 10
MOMENTS = (1, 2, 4, 7)  # in tenths of the training; its end is one more


@dataclass(frozen=True)
class Moment:
    """What the model drew from the same noise after so many steps."""

    step: int
    seconds: float
    samples: Tensor  # (count, 1, rows, columns), natural units


@dataclass(frozen=True)
class Live:
    """A finished live training; ``losses`` holds one figure a step."""

    moments: Sequence[Moment]
    losses: Sequence[float]
    seconds: float
    parameters: int
    shape: tuple[int, ...]


class _TimeIsUp(Exception):
    """The machine became much slower than it was when the number of steps was set."""


class _Watcher:
    """The training's callback: records the loss, and at its moments draws from the newest
    checkpoint.
    """

    def __init__(
        self, folder: Path, every: int, patience: float, count: int, show: Show, report: Report
    ) -> None:
        self.folder, self.every, self.patience, self.count, self.show, self.report = (
            folder,
            every,
            patience,
            count,
            show,
            report,
        )
        self.moments: list[Moment] = []
        self.losses: list[float] = []
        self.begun = time.perf_counter()

    def __call__(self, step: int, loss: float, rate: float) -> None:
        self.losses.append(loss)
        self.report(step, TENTHS * self.every)
        # A checkpoint is written after the callback of its step, so it is there one step later.
        tenth, after = divmod(step - 1, self.every)
        if after == 0 and tenth in MOMENTS:
            self.look(step - 1)
        if after == 0 and tenth > 0 and time.perf_counter() - self.begun > self.patience:
            raise _TimeIsUp

    def look(self, step: int) -> None:
        """Draw from the averaged weights as they lie on disk."""
        run = Run.open(self.folder)
        moment = Moment(
            step, time.perf_counter() - self.begun, draw(run, Plan.of(run), range(self.count))
        )
        self.moments.append(moment)
        self.show.say(
            f"  after {moment.seconds:.0f} s and {step} steps, loss {_recent(self.losses):.3f}:"
        )
        self.show.pictures([grey(x[0]) for x in moment.samples])


def train_live(out: Path, seconds: float, count: int, show: Show) -> Live:
    """Train for about ``seconds``, half as many more at most, with ``count`` samples at each
    moment; the model becomes the run ``out``.
    """
    dataset = open_dataset(DATA)
    config = configure(SYSTEM, dataset, DATA, SMALLER)
    every = max(1, round(seconds * rate(config, dataset, seconds=0.04 * seconds) / TENTHS))
    config["training"] |= {"steps": TENTHS * every, "checkpoint_every": every}
    with tempfile.TemporaryDirectory() as scratch, show.stage("training a small model") as report:
        folder = Path(scratch) / "live"
        watcher = _Watcher(folder, every, 1.5 * seconds, count, show, report)
        with suppress(_TimeIsUp):
            train_config(config, dataset, folder, callback=watcher)
        taken = time.perf_counter() - watcher.begun
        watcher.look(len(watcher.losses) // every * every)
        export(folder, out)
    parameters = sum(p.numel() for p in Run.open(out).denoiser.parameters())
    return Live(watcher.moments, watcher.losses, taken, parameters, dataset.shape)


def _recent(losses: Sequence[float], count: int = 30) -> float:
    last = losses[-count:]
    return sum(last) / len(last)
