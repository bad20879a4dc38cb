"""Train what a config describes: its recipe, its parts, its objective, and how fast it trains."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.process import processes
from unfog.core.space import PLAIN, spaces
from unfog.data.augment import augmentations
from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.runs.build import build, drops
from unfog.runs.config import apply_overrides
from unfog.runs.machine import resolve
from unfog.systems import registry
from unfog.systems.registry import Config
from unfog.training import loop
from unfog.training.feed import Feed
from unfog.training.learner import Learner
from unfog.training.loop import Callback, TrainResult
from unfog.training.objectives import Objective, objectives
from unfog.training.settings import TrainSettings


def configure(system: str, dataset: Dataset, data: Config, overrides: Sequence[str] = ()) -> Config:
    """The config of a system on a data set: its recipe with ``overrides`` applied.

    Args:
        system: A system by name.
        dataset: The data, whose shape and conditions the recipe looks at.
        data: The config's section for them.
        overrides: Settings, each "key=value".

    Returns:
        The config.
    """
    config = registry.get(system).config(dataset)
    config = apply_overrides({"system": config.pop("system"), "data": data, **config}, overrides)
    # A run keeps the precision that "auto" stands for here, so that resuming is bit-exact.
    points = math.prod(dataset.shape[1:])
    config["training"]["precision"] = resolve(config["training"]["precision"], points)
    return config


def train_config(
    config: Config,
    dataset: Dataset,
    out: Path,
    *,
    start: NetworkDenoiser | None = None,
    teacher: NetworkDenoiser | None = None,
    resume: bool = False,
    callback: Callback | None = None,
) -> TrainResult:
    """Train what a config describes.

    Args:
        config: The config, complete.
        dataset: The training data.
        out: The run's folder.
        start: A denoiser whose weights training starts from; random ones by default.
        teacher: The denoiser that an objective of distillation asks for.
        resume: Whether to go on from the newest checkpoint in ``out``.
        callback: Called with (step, loss, steps a second) after each step.

    Returns:
        The last step, its loss and the number of updates.

    Raises:
        InputError: The weights of ``start`` do not fit, or as ``training.loop.train`` says.
    """
    settings = TrainSettings.of(config["training"])
    augment = augmentations.build(config["augment"])
    parts, objective = build(config), objective_of(config, teacher)
    if start is not None:
        try:
            parts.denoiser.load_state_dict(start.state_dict())
        except RuntimeError as error:
            raise InputError(
                "The run to start from has another network or other conditions; set this one's "
                "alike."
            ) from error
    return loop.train(
        parts.denoiser,
        objective,
        dataset,
        augment,
        settings,
        out,
        config,
        codec=parts.codec,
        resume=resume,
        callback=callback,
    )


def objective_of(config: Config, teacher: NetworkDenoiser | None = None) -> Objective:
    """The training objective of a config. Where its factory has the parameters, it is given what
    no config can hold: the teacher, the process and the space of states.
    """
    section = {"name": "denoising", **config["objective"], "drop": drops(config)}
    parameters = inspect.signature(objectives.get(section["name"])).parameters
    if "teacher" in parameters and teacher is None:
        raise InputError(f"The objective {section['name']!r} needs a teacher; use unfog distill.")
    space = spaces.build(config.get("space") or "plain")
    if "space" not in parameters and space != PLAIN:
        raise InputError(
            f"The objective {section['name']!r} knows the plain space alone, and this run's states "
            f"live in {config['space']['name']!r}; take the objective 'denoising'."
        )
    parts = {
        "teacher": teacher,
        "process": processes.build(config["process"]),
        "space": space,
    }
    extra = {name: part for name, part in parts.items() if name in parameters}
    return objectives.build(section, **extra)


def rate(
    config: Config, dataset: Dataset, seconds: float = 8.0, teacher: NetworkDenoiser | None = None
) -> float:
    """Training steps a second of a config, measured by training a copy that is thrown away.

    Args:
        config: The config, complete.
        dataset: The training data.
        seconds: How long to measure; at most 999 steps are made.
        teacher: The denoiser that an objective of distillation asks for.

    Returns:
        Steps a second, without the first two, which allocate memory.
    """
    settings = TrainSettings.of(config["training"])
    parts = build(config)
    objective = objective_of(config, teacher)
    head = getattr(objective, "head", None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    learner = Learner(parts.denoiser, settings, device, head)
    augment = augmentations.build(config["augment"])
    feed = Feed(dataset, augment, parts.codec, settings, learner.device)
    steps, begun = 0, 0.0
    for step in range(1, 1000):
        batch, samples = feed(step)
        losses = partial(objective, learner.denoiser, batch, samples, settings.seed, step)
        learner.update(losses, settings.lr)
        if step == 2:
            begun = time.perf_counter()
        elif step > 2:
            steps += 1
            if time.perf_counter() - begun > seconds:
                break
    return steps / (time.perf_counter() - begun)
