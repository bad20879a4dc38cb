"""What a run will need, before it is trained: parameters, memory and time, measured on one step of
its own batch (``unfog train --dry-run``). Nothing is written.

A step that may not fit into memory is not tried. Its peak is foretold from two smaller steps, on
the corners of the same batch: what is kept for the backward pass grows with the points of the
batch, so

    peak = rest + slope * points.
"""

from __future__ import annotations

import copy
import gc
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from unfog.data.augment import augmentations
from unfog.data.dataset import Dataset
from unfog.runs.memory_use import available, peak, reset_peak, resident
from unfog.runs.train_from_config import model_of, objective_of, training_data
from unfog.runs.train_system import configured
from unfog.systems.registry import Config
from unfog.training.feed import Feed
from unfog.training.learner import Learner
from unfog.training.settings import TrainSettings

GIB = float(1 << 30)
SHARE = 0.9  # of the free memory that a run may take
MULTIPLE = 8  # of which patches and sides are, in points
LEAST = 8  # points, the smallest side that is tried


@dataclass(frozen=True)
class Cost:
    """What one step took.

    Args:
        points: Of its batch, samples times voxels.
        peak: The process' largest memory during it, in bytes.
        seconds: Its wall time.
    """

    points: int
    peak: float
    seconds: float


@dataclass(frozen=True)
class Line:
    """peak = rest + slope * points, in bytes, and seconds likewise without a rest.

    Args:
        rest: What does not grow with the batch.
        slope: Bytes a point.
        seconds: A point.
    """

    rest: float
    slope: float
    seconds: float

    @classmethod
    def through(cls, small: Cost, large: Cost) -> Line:
        """The line through two steps; memory never falls with the batch."""
        slope = max(0.0, (large.peak - small.peak) / max(1, large.points - small.points))
        return cls(large.peak - slope * large.points, slope, large.seconds / large.points)

    def peak(self, points: int) -> float:
        return self.rest + self.slope * points

    def points(self, memory: float) -> float:
        """The most points that go into so many bytes."""
        if self.slope > 0:
            return (memory - self.rest) / self.slope
        return math.inf if self.rest <= memory else 0.0


def dry_run_system(system: str, data: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """The needs of a run that ``unfog train`` would make.

    Args:
        system: A system by name.
        data: A data set by name, or a file or folder; None for the system's own.
        overrides: Settings, each "key=value".

    Returns:
        What ``dry_run`` says.
    """
    return dry_run(*configured(system, data, overrides))


def dry_run(config: Config, dataset: Dataset) -> dict[str, Any]:
    """The needs of a run.

    Args:
        config: Its config, complete.
        dataset: The training data.

    Returns:
        Parameters, the shape of the batch, peak memory and seconds of a step, measured where they
        fit, and their ``estimate`` from smaller steps, hours of all steps, the memory there is,
        whether it fits, and what would.
    """
    batch = _Batch.of(config, dataset)
    sides, points = batch.sides, batch.points
    parameters = sum(p.numel() for p in model_of(config).parameters())
    free = available()
    budget = math.inf if free is None else SHARE * free + resident()
    # Two corners of the batch first: a step that does not fit is never tried.
    small, large = (batch.step([_part(side, share) for side in sides]) for share in (0.375, 0.5))
    line = Line.through(small, large)
    fits = line.peak(points) <= budget
    measured = fits or large.points >= points
    whole = batch.step(sides) if measured else None
    most = whole.peak if whole is not None else line.peak(points)
    seconds = whole.seconds if whole is not None else line.seconds * points
    steps = config["training"]["steps"]
    found = {
        "system": config["system"],
        "parameters": parameters,
        "batch": [batch.samples, *batch.shape],
        "precision": config["training"]["precision"],
        "peak memory GiB": round(most / GIB, 3),
        "seconds a step": round(seconds, 3),
        "by": "measured on one step" if whole is not None else "estimated from smaller steps",
        "estimate": {
            "peak memory GiB": round(line.peak(points) / GIB, 3),
            "seconds a step": round(line.seconds * points, 3),
        },
        "steps": steps,
        "hours in all": round(seconds * steps / 3600, 3),
        "memory available GiB": None if free is None else round(free / GIB, 2),
        "fits": most <= budget,
    }
    if most > budget:
        found["what would fit"] = _remedies(batch, line, budget)
    return found


@dataclass(frozen=True)
class _Batch:
    """The first batch of a run, and what trains on it.

    Args:
        config: The run's config.
        data: The batch of step 1, on the model's scale.
        numbers: The numbers of its samples.
    """

    config: Config
    data: dict[str, Tensor]
    numbers: list[int]

    @classmethod
    def of(cls, config: Config, dataset: Dataset) -> _Batch:
        data, codec = training_data(config, dataset)
        settings, augment = TrainSettings.of(config["training"]), config["augment"]
        feed = Feed(data, augmentations.build(augment), codec, settings, _device())
        return cls(config, *feed(1))

    @property
    def shape(self) -> list[int]:
        return list(self.data["x"].shape[1:])

    @property
    def sides(self) -> list[int]:
        return self.shape[1:]

    @property
    def samples(self) -> int:
        return len(self.numbers)

    @property
    def points(self) -> int:
        return self.samples * math.prod(self.sides)

    def step(self, sides: list[int], checkpointing: bool = False) -> Cost:
        """One step on the corner of the batch of so many points along each axis, after one that
        allocates the optimiser's memory.
        """
        config = copy.deepcopy(self.config)
        if checkpointing:
            config["network"]["checkpointing"] = True
        settings = TrainSettings.of(config["training"])
        corner = (slice(None), slice(None), *(slice(0, side) for side in sides))
        own = self.data["x"].shape[2:]
        batch = {
            name: value[corner] if value.shape[2:] == own else value
            for name, value in self.data.items()
        }
        objective = objective_of(config)
        learner = Learner(model_of(config), settings, _device(), getattr(objective, "head", None))
        reset_peak()
        for step in (1, 2):
            begun = time.perf_counter()
            losses = partial(objective, learner.model, batch, self.numbers, settings.seed, step)
            learner.update(losses, settings.lr)
            seconds = time.perf_counter() - begun
        cost = Cost(self.samples * math.prod(sides), peak(), seconds)
        del learner, objective
        gc.collect()
        return cost


def _remedies(batch: _Batch, line: Line, budget: float) -> list[str]:
    """What of this run would fit, a sentence each."""
    voxels, found = math.prod(batch.sides), list[str]()
    samples = int(line.points(budget) // voxels)
    if samples >= 1:
        found.append(f"--set training.batch={samples}")
    if "checkpointing" in _keys(batch.config):
        small, large = (
            batch.step([_part(side, share) for side in batch.sides], checkpointing=True)
            for share in (0.375, 0.5)
        )
        kept = Line.through(small, large)
        if kept.peak(batch.points) <= budget:
            found.append("--set network.checkpointing=true")
        elif (samples := int(kept.points(budget) // voxels)) >= 1:
            found.append(f"--set network.checkpointing=true --set training.batch={samples}")
    side = (max(0.0, line.points(budget)) / batch.samples) ** (1 / len(batch.sides))
    side = int(side // MULTIPLE * MULTIPLE)
    if "patch" in batch.config["data"] and side >= LEAST:
        found.append(f"--set data.patch={side}")
    return found or ["a smaller network: --set network.channels=N"]


def _keys(config: Config) -> set[str]:
    """The keys that the network of a config can have."""
    from unfog.runs.config import settings

    prefix = "network."
    return {key.removeprefix(prefix) for key in settings(config) if key.startswith(prefix)}


def _part(side: int, share: float) -> int:
    """A share of a side, a multiple of ``MULTIPLE``, and of no less than ``LEAST`` points."""
    return min(side, max(LEAST, int(side * share) // MULTIPLE * MULTIPLE))


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
