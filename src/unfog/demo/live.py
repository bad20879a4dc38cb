"""The demo's live training: a small model, trained for a number of steps by the library's own loop,
with samples drawn on the way.
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
from unfog.runs.folder import export
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.train import configure, train_config
from unfog.systems.registry import Config

SYSTEM = "t1-prior"
# 48 x 40: a quarter of the pixels learns in a quarter of the time
DATA: Config = {"name": "mni-t1", "resolution": 4.0}
SMALLER = (
    "network.channels=24",
    "network.multipliers=[1, 2, 2]",
    "network.patch=1",
    "network.dropout=0.0",
    "augment.name=none",
    "training.batch=8",
    "training.lr=1e-3",
    "training.warmup=30",
)
TENTHS = 10
MOMENTS = (1, 2, 4, 7)  # in tenths of the training, when samples are drawn; its end is one more


@dataclass(frozen=True)
class Moment:
    """Samples during the training, of every moment from the same noise.

    Args:
        step: Training steps so far.
        seconds: Of training so far.
        samples: (count, 1, rows, columns), in natural units.
    """

    step: int
    seconds: float
    samples: Tensor


@dataclass(frozen=True)
class Live:
    """A finished live training.

    Args:
        moments: The samples on the way.
        losses: The loss of each step.
        seconds: How long it took.
        parameters: The number of the network's parameters.
        shape: Of a sample, (channels, rows, columns).
    """

    moments: Sequence[Moment]
    losses: Sequence[float]
    seconds: float
    parameters: int
    shape: tuple[int, ...]


class _TimeIsUp(Exception):
    """Raised to stop a training that takes longer than anyone waits."""


class _Watcher:
    """The training's callback: records the loss, and at its moments draws from the newest
    checkpoint.
    """

    def __init__(
        self, folder: Path, every: int, patience: float, count: int, show: Show, report: Report
    ) -> None:
        self.folder = folder
        self.every = every  # steps between checkpoints
        self.patience = patience  # seconds, after which the training is stopped
        self.count = count  # samples at each moment
        self.show = show
        self.report = report
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
        """Draw samples with the averaged weights of the newest checkpoint."""
        run = Run.open(self.folder)
        seconds = time.perf_counter() - self.begun
        moment = Moment(step, seconds, draw(run, Plan.of(run), range(self.count)))
        self.moments.append(moment)
        self.show.say(
            f"  after {moment.seconds:.0f} s and {step} steps, loss {_recent(self.losses):.3f}:"
        )
        self.show.pictures([grey(x[0]) for x in moment.samples])


def train_live(out: Path, steps: int, patience: float, count: int, show: Show) -> Live:
    """Train a small model, and draw samples at each of ``MOMENTS``.

    Args:
        out: The new run's folder.
        steps: Of the training, a multiple of ten; as many as its samples need on any machine.
        patience: Seconds after which it stops all the same.
        count: The number of samples at each moment.
        show: Where to show them.

    Returns:
        Samples, losses and time.
    """
    dataset = open_dataset(DATA)
    config = configure(SYSTEM, dataset, DATA, SMALLER)
    every = max(1, steps // TENTHS)
    config["training"] |= {"steps": TENTHS * every, "checkpoint_every": every}
    with tempfile.TemporaryDirectory() as scratch, show.stage("training a small model") as report:
        folder = Path(scratch) / "live"
        watcher = _Watcher(folder, every, patience, count, show, report)
        with suppress(_TimeIsUp):
            train_config(config, dataset, folder, callback=watcher)
        taken = time.perf_counter() - watcher.begun
        watcher.look(len(watcher.losses) // every * every)
        export(folder, out)
    parameters = sum(p.numel() for p in Run.open(out).denoiser.parameters())
    return Live(watcher.moments, watcher.losses, taken, parameters, dataset.shape)


def _recent(losses: Sequence[float], count: int = 30) -> float:
    """The mean of the last ``count`` losses."""
    last = losses[-count:]
    return sum(last) / len(last)
