"""Train a system on a data set by name or on files: ``unfog train``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from unfog.core.codec import codecs
from unfog.data.dataset import Dataset, open_dataset
from unfog.errors import InputError
from unfog.progress import training_progress
from unfog.runs.budget import fit, warn_if_short
from unfog.runs.build import is_autoencoder, is_joint_encoder
from unfog.runs.config import apply_overrides
from unfog.runs.embeddings import embedded
from unfog.runs.folder import run_config
from unfog.runs.joint_codec import measure_embeddings
from unfog.runs.latent_codecs import measure_latents
from unfog.runs.machine import Clock
from unfog.runs.run import Run
from unfog.runs.text_states import captioned
from unfog.runs.train_data import absolute, data_section, resumed_section
from unfog.runs.train_from_config import (
    configure,
    model_of,
    train_config,
    with_shape,
)
from unfog.systems import registry
from unfog.systems.registry import Config
from unfog.training.loop import TrainResult
from unfog.training.processes import AUTO, Processes


def train_system(
    system: str,
    data: str | None,
    out: Path,
    overrides: Sequence[str] = (),
    *,
    start: str | Path | None = None,
    resume: bool = False,
    minutes: float | None = None,
    track: Sequence[str] = (),
    parallel: str = AUTO,
) -> dict[str, Any]:
    """``unfog train``: train a system on a data set or on files.

    Args:
        system: A system by name.
        data: A data set by name, or a file or folder; a resumed run may go without, and is refused
            others than it was trained on.
        out: The run's folder.
        overrides: Settings, each "key=value".
        start: A run whose averaged weights are trained on; its name and their SHA-256 stand in the
            config.
        resume: Whether to go on from the newest checkpoint in ``out``.
        minutes: Sets the steps by a short measurement of the rate, so that the learning rate ends
            its decay on time, and fits the recipe to them (``runs.budget``).
        track: Trackers by name: tensorboard, mlflow, wandb, trackio.
        parallel: How the processes train that ``torchrun`` started (``training.processes``).

    Returns:
        The folder, last step and loss, parameters and time.
    """
    check_resume(start, resume, minutes)
    processes = Processes.of_environment()
    if processes.count > 1 and minutes is not None:
        raise InputError(
            "Several processes would measure different rates; give --steps for --minutes."
        )
    if resume:
        config = _resumed(system, data, out, overrides)
        dataset = open_dataset(config["data"])
    else:
        config, dataset = configured(system, data, overrides)
        config = fitted(config, dataset, overrides, start, minutes)
    begun = time.perf_counter()
    result = train_fitted(
        config,
        dataset,
        out,
        start=start,
        resume=resume,
        warned=minutes is not None,
        track=track,
        parallel=parallel,
    )
    return {
        "run": str(out),
        "system": system,
        "step": result.step,
        "loss": result.loss,
        "parameters": sum(p.numel() for p in model_of(config).parameters()),
        "precision": config["training"]["precision"],
        "threads": torch.get_num_threads(),
        **({"processes": processes.count} if processes.count > 1 else {}),
        "seconds": round(time.perf_counter() - begun, 1),
    }


def check_resume(start: str | Path | None, resume: bool, minutes: float | None) -> None:
    """``InputError`` where a resumed run is told what only a new one can be."""
    if resume and minutes is not None:
        raise InputError(
            "A resumed run has its number of steps already; leave out --minutes, or give --steps."
        )
    if resume and start is not None:
        raise InputError("A resumed run goes on from its own weights; leave out --start.")


def train_fitted(
    config: Config,
    dataset: Dataset,
    out: Path,
    *,
    start: str | Path | None,
    resume: bool,
    warned: bool,
    track: Sequence[str] = (),
    parallel: str = AUTO,
) -> TrainResult:
    """Train what a config describes, after its start is settled; a new run of few steps says what
    it needs, unless that was told before it began.
    """
    start_run = None if start is None else Run.open(start)
    if start_run is not None:
        config["start"] = {"run": start_run.name, "sha256": start_run.weights_sha256}
    begun = time.perf_counter()
    first, steps = Processes.of_environment().first, config["training"]["steps"]
    with training_progress(steps) if first else nullcontext() as callback:
        result = train_config(
            config,
            dataset,
            out,
            start=None if start_run is None else start_run.denoiser,
            resume=resume,
            callback=callback,
            track=track,
            parallel=parallel,
        )
    if is_autoencoder(config):
        measure_latents(out, dataset)
    elif is_joint_encoder(config):
        measure_embeddings(out, dataset)
    elif not (warned or resume or start_run):
        warn_if_short(result.step, time.perf_counter() - begun)
    return result


def fitted(
    config: Config,
    dataset: Dataset,
    overrides: Sequence[str],
    start: str | Path | None,
    minutes: float | None,
    clock: Clock = time.perf_counter,
) -> Config:
    """A new run's config, fitted to its budget; the network stays where weights are given."""
    set_keys = {pair.partition("=")[0].strip() for pair in overrides}
    told = embedded(captioned(dataset, config), config)
    dataset = with_shape(told, codecs.build(config["codec"]).latent_shape(config["shape"]))
    if start is not None:
        return fit(config, dataset, set_keys | {"network.name"}, minutes)
    config = fit(config, dataset, set_keys, minutes, clock)
    if minutes is not None:
        warn_if_short(config["training"]["steps"], 60 * minutes)
    return config


def configured(system: str, data: str | None, overrides: Sequence[str]) -> tuple[Config, Dataset]:
    """The config of a new run, and its data set; see ``train_system`` for the arguments."""
    recipe = registry.get(system)
    ours = [pair for pair in overrides if pair.strip().startswith("data.")]
    section = data_section(data or recipe.data)
    # Volumes in files are cut into patches for a recipe that is made for patches.
    if recipe.patch is not None and section["name"] in ("nifti", "dicom"):
        section |= {"dims": 3, "patch": recipe.patch}
    section = absolute(apply_overrides({"data": section}, ours)["data"])
    # Pictures in files come with their captions for a recipe that reads them.
    if recipe.text is not None and section["name"] == "images":
        section = {"captions": True, **section}
    dataset = open_dataset(section)
    others = [pair for pair in overrides if pair not in ours]
    return configure(system, dataset, section, others), dataset


def _resumed(system: str, data: str | None, out: Path, overrides: Sequence[str]) -> Config:
    """The config of the run in ``out``, with overrides applied and the data where they now are."""
    config = stored(system, out)
    config["data"] = resumed_section(config["data"], data, out)
    config = apply_overrides(config, overrides)
    config["data"] = absolute(config["data"])
    return config


def stored(system: str, out: Path) -> Config:
    """The config of the run in ``out``; ``InputError`` where that is a run of another system."""
    config = run_config(out)
    if config["system"] != system:
        raise InputError(
            f"{out} is a run of {config['system']!r}, not of {system!r}; resume it as what it is."
        )
    return config
