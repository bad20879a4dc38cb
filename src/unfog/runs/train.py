"""Train a system on a data set: recipe, overrides, parts, loop."""

from __future__ import annotations

import copy
import inspect
import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.process import processes
from unfog.core.space import PLAIN, spaces
from unfog.data.augment import augmentations
from unfog.data.dataset import Dataset, datasets, kind_of, open_dataset
from unfog.data.memory import Memory
from unfog.errors import InputError
from unfog.progress import training_progress
from unfog.runs.build import build, drops
from unfog.runs.config import apply_overrides, load_config
from unfog.runs.run import CONFIG, Run
from unfog.systems import registry
from unfog.systems.registry import Config
from unfog.training import loop
from unfog.training.feed import Feed
from unfog.training.learner import Learner
from unfog.training.loop import Callback, TrainResult
from unfog.training.objectives.denoising import Objective, objectives
from unfog.training.settings import TrainSettings


def configure(system: str, dataset: Dataset, data: Config, overrides: Sequence[str] = ()) -> Config:
    """The config of a system on a data set, ``overrides`` (``key=value``) applied."""
    config = registry.get(system).config(dataset)
    return apply_overrides({"system": config.pop("system"), "data": data, **config}, overrides)


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
    """Train what a config describes, from the weights of ``start`` if given; a ``teacher`` is for
    its objective alone.
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
    """The training objective of a config, with what it asks for and a config cannot hold."""
    section = {"name": "denoising", **config["objective"], "drop": drops(config)}
    asked = inspect.signature(objectives.get(section["name"])).parameters
    if "teacher" in asked and teacher is None:
        raise InputError(f"The objective {section['name']!r} needs a teacher; use unfog distill.")
    space = spaces.build(config.get("space") or "plain")
    if "space" not in asked and space != PLAIN:
        raise InputError(
            f"The objective {section['name']!r} knows the plain space alone, and this run's states "
            f"live in {config['space']['name']!r}; take the objective 'denoising'."
        )
    known = {
        "teacher": teacher,
        "process": processes.build(config["process"]),
        "space": space,
    }
    return objectives.build(
        section, **{name: part for name, part in known.items() if name in asked}
    )


def train(
    system: str,
    data: str | Path | Dataset | Tensor | NDArray[Any],
    out: str | Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    labels: Tensor | NDArray[Any] | None = None,
    dims: int | None = None,
    value_range: tuple[float, float] | None = None,
    settings: Mapping[str, Any] | None = None,
    start: str | Path | None = None,
    resume: bool = False,
) -> Run:
    """Train a system on an array, a data set or files: ``unfog.train``.

    Args:
        system: One of ``unfog.systems.names()``.
        data: An array or tensor (n, *space) or (n, channels, *space); or a ``Dataset``, the name of
            one, or a file or folder.
        out: The run's folder, which is new unless the run is resumed.
        steps: Training steps; the recipe's by default.
        minutes: Sets the steps by a short measurement.
        seed: The seed of weights, order and noise; 0 by default.
        labels: Class numbers from 0 for each sample of an array.
        dims: Axes of space of an array: by default 1 for two axes in all, 3 for five, else 2.
        value_range: Smallest and largest value of an array; measured by default, and kept as the
            run's codec either way.
        settings: Other settings by dotted key, such as {"training.batch": 32}.
        start: A run whose weights are trained on.
        resume: Whether to go on from the newest checkpoint in ``out``.

    Returns:
        The trained run.

    Raises:
        InputError: The data hold NaN, a name or setting is unknown, or the folder is not empty.
    """
    own = {"training.steps": steps, "training.seed": seed}
    pairs = {**(settings or {}), **{key: value for key, value in own.items() if value is not None}}
    overrides = [f"{key}={json.dumps(value)}" for key, value in pairs.items()]
    if isinstance(data, str | Path):
        if labels is not None or dims is not None or value_range is not None:
            raise InputError(
                "labels, dims and value_range describe an array; for data in files set data.dims "
                "and others in settings."
            )
        train_system(
            system, str(data), Path(out), overrides, start=start, resume=resume, minutes=minutes
        )
        return Run.open(out)
    dataset = data if isinstance(data, Dataset) else Memory(data, labels, dims, value_range)
    if resume:
        config = _resumed(system, Path(out), overrides)
    else:
        config = configure(system, dataset, {"name": dataset.name}, overrides)
    _train(config, dataset, Path(out), start=start, resume=resume, minutes=minutes)
    return Run.open(out)


def train_system(
    system: str,
    data: str,
    out: Path,
    overrides: Sequence[str] = (),
    *,
    start: str | Path | None = None,
    resume: bool = False,
    minutes: float | None = None,
) -> dict[str, Any]:
    """``unfog train``: train a system on a data set or on files.

    Args:
        system: A system by name.
        data: A data set by name, or a file or folder.
        out: The run's folder.
        overrides: Settings, each "key=value".
        start: A run whose averaged weights are trained on; its name and their SHA-256 stand in the
            config.
        resume: Whether to go on from the newest checkpoint in ``out``.
        minutes: Sets the steps by a short measurement of the rate, so that the learning rate ends
            its decay on time.

    Returns:
        The folder, last step and loss, parameters and time.
    """
    _check_resume(start, resume, minutes)
    if resume:
        config = _resumed(system, out, overrides)
        dataset = open_dataset(config["data"])
    else:
        config, dataset = _configured(system, data, overrides)
    begun = time.perf_counter()
    result = _train(config, dataset, out, start=start, resume=resume, minutes=minutes)
    return {
        "run": str(out),
        "system": system,
        "step": result.step,
        "loss": result.loss,
        "parameters": sum(p.numel() for p in build(config).denoiser.parameters()),
        "seconds": round(time.perf_counter() - begun, 1),
    }


def _check_resume(start: str | Path | None, resume: bool, minutes: float | None) -> None:
    if resume and minutes is not None:
        raise InputError(
            "A resumed run has its number of steps already; leave out --minutes, or give --steps."
        )
    if resume and start is not None:
        raise InputError("A resumed run goes on from its own weights; leave out --start.")


def _train(
    config: Config,
    dataset: Dataset,
    out: Path,
    *,
    start: str | Path | None,
    resume: bool,
    minutes: float | None,
) -> TrainResult:
    """Train what a config describes, its number of steps and its start settled first."""
    _check_resume(start, resume, minutes)
    begin = None if start is None else Run.open(start)
    if begin is not None:
        config["start"] = {"run": begin.name, "sha256": begin.weights_sha256}
    if minutes is not None:
        config["training"]["steps"] = max(1, int(60 * minutes * rate(config, dataset)))
    with training_progress(config["training"]["steps"]) as callback:
        return train_config(
            config,
            dataset,
            out,
            start=None if begin is None else begin.denoiser,
            resume=resume,
            callback=callback,
        )


def rate(
    config: Config, dataset: Dataset, seconds: float = 8.0, teacher: NetworkDenoiser | None = None
) -> float:
    """Training steps a second, measured on a copy that is thrown away."""
    settings = TrainSettings.of(config["training"])
    parts = build(config)
    objective = objective_of(config, teacher)
    learner = Learner(
        parts.denoiser, settings, torch.device("cpu"), getattr(objective, "head", None)
    )
    feed = Feed(
        dataset, augmentations.build(config["augment"]), parts.codec, settings, learner.device
    )
    done, begun = 0, 0.0
    for step in range(1, 1000):
        batch, chosen = feed(step)
        losses = partial(objective, learner.denoiser, batch, chosen, settings.seed, step)
        learner.update(losses, settings.lr)
        if step == 2:  # the first steps allocate
            begun = time.perf_counter()
        elif step > 2:
            done += 1
            if time.perf_counter() - begun > seconds:
                break
    return done / (time.perf_counter() - begun)


def _configured(system: str, data: str, overrides: Sequence[str]) -> tuple[Config, Dataset]:
    """The config of a new run, and its data."""
    registry.get(system)
    section = _data_section(data)
    dataset = open_dataset(section)
    config = configure(system, dataset, section, overrides)
    if config["data"] == section:
        return config, dataset
    # A setting chose other data, whose shape or conditions the recipe must see.
    section = config["data"]
    dataset = open_dataset(section)
    others = [pair for pair in overrides if not pair.startswith("data.")]
    return configure(system, dataset, section, others), dataset


def _resumed(system: str, out: Path, overrides: Sequence[str]) -> Config:
    config = load_config(out / CONFIG)
    if config["system"] != system:
        raise InputError(
            f"{out} is a run of {config['system']!r}, not of {system!r}; resume it as what it is."
        )
    return apply_overrides(copy.deepcopy(config), overrides)


def _data_section(data: str) -> Config:
    """A registered name, or a path as an absolute one under its reader's name."""
    if data in datasets.names():
        return {"name": data}
    path = Path(data)
    if not path.exists():
        raise InputError(
            f"There is no data set and no file or folder {data!r}; data sets: "
            f"{', '.join(datasets.names())}."
        )
    return {"name": kind_of(path), "path": str(path)}
