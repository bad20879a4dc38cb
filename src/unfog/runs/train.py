"""Train a system on data: ``unfog.train`` on arrays and ``unfog train`` on files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from unfog.data.dataset import Dataset
from unfog.data.memory import Memory
from unfog.errors import InputError
from unfog.runs.config import apply_overrides
from unfog.runs.generated import GeneratorRun
from unfog.runs.joint_codec import JointEncoderCodec
from unfog.runs.latent_codecs import AutoencoderCodec
from unfog.runs.run import Run
from unfog.runs.train_from_config import (
    configure,
    objective_of,
    train_config,
)
from unfog.runs.train_system import check_resume, fitted, stored, train_fitted, train_system
from unfog.runs.training_rate import rate
from unfog.systems import registry

__all__ = [
    "configure",
    "objective_of",
    "rate",
    "train",
    "train_autoencoder",
    "train_config",
    "train_generator",
    "train_joint_encoder",
    "train_system",
]


def train(
    system: str,
    data: str | Path | Dataset | Tensor | NDArray[Any] | None,
    out: str | Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    labels: Tensor | NDArray[Any] | None = None,
    dims: int | None = None,
    value_range: tuple[float, float] | None = None,
    captions: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    track: Sequence[str] = (),
) -> Run:
    """Train a system on an array, a data set or files: ``unfog.train``.

    Args:
        system: One of ``unfog.systems.names()``.
        data: An array or tensor (n, *space) or (n, channels, *space); or a ``Dataset``, the name of
            one, or a file or folder; None where a resumed run goes on with those in its config.
        out: The run's folder, which is new unless the run is resumed.
        steps: Training steps; the recipe's by default.
        minutes: Sets the steps by a short measurement. These, or fewer steps than the recipe's,
            also fit warm-up, average, network and batch, where not set (``runs.budget``).
        seed: The seed of weights, order and noise; 0 by default.
        labels: Class numbers from 0 for each sample of an array.
        dims: Axes of space of an array: by default 1 for two axes in all, 3 for five, else 2.
        value_range: Smallest and largest value of an array; measured by default, and kept as the
            run's codec either way.
        captions: What each sample of an array shows, in words, for a system that reads text.
        settings: Other settings by dotted key, such as {"training.batch": 32}.
        start: A run whose weights are trained on.
        resume: Whether to go on from the newest checkpoint in ``out``.
        track: Trackers by name that are given the log: tensorboard, mlflow, wandb, trackio.

    Returns:
        The trained run.

    Raises:
        InputError: The data hold NaN, a name or setting is unknown, or the folder is not empty.
    """
    if registry.get(system).trains != "denoiser":
        call = registry.get(system).trains.replace(" ", "_")
        raise InputError(f"{system} is no model of data; call unfog.train_{call}.")
    _train_into(
        system,
        data,
        Path(out),
        steps=steps,
        minutes=minutes,
        seed=seed,
        labels=labels,
        dims=dims,
        value_range=value_range,
        captions=captions,
        settings=settings,
        start=start,
        resume=resume,
        track=track,
    )
    return Run.open(out)


def train_autoencoder(
    system: str,
    data: str | Path | Dataset | Tensor | NDArray[Any] | None,
    out: str | Path,
    **options: Any,
) -> AutoencoderCodec:
    """Train an autoencoder on an array, a data set or files: ``unfog.train_autoencoder``.

    Args:
        system: "autoencoder-kl" or "autoencoder-vq".
        data: What ``train`` takes.
        out: The run's folder.
        **options: Others of ``train``.

    Returns:
        The trained codec, from the data to its latents.

    Raises:
        InputError: The system trains no autoencoder, or as ``train`` says.
    """
    if registry.get(system).trains != "autoencoder":
        raise InputError(f"{system} trains no autoencoder; take autoencoder-kl or -vq.")
    _train_into(system, data, Path(out), **options)
    return AutoencoderCodec(str(out))


def train_joint_encoder(
    system: str,
    data: str | Path | Dataset | Tensor | NDArray[Any] | None,
    out: str | Path,
    **options: Any,
) -> JointEncoderCodec:
    """Train a joint encoder of pictures and text: ``unfog.train_joint_encoder``.

    Args:
        system: "contrastive".
        data: What ``train`` takes, with a text as a condition.
        out: The run's folder.
        **options: Others of ``train``.

    Returns:
        The trained codec, from pictures to their embeddings.

    Raises:
        InputError: The system trains no joint encoder, or as ``train`` says.
    """
    if registry.get(system).trains != "joint encoder":
        raise InputError(f"{system} trains no joint encoder; take contrastive.")
    _train_into(system, data, Path(out), **options)
    return JointEncoderCodec(str(out))


def train_generator(
    system: str,
    data: str | Path | Dataset | Tensor | NDArray[Any] | None,
    out: str | Path,
    **options: Any,
) -> GeneratorRun:
    """Train a generator on an array, a data set or files: ``unfog.train_generator``.

    Args:
        system: "gan", "vae" or "hierarchical-vae".
        data: What ``train`` takes.
        out: The run's folder.
        **options: Others of ``train``.

    Returns:
        The trained run.

    Raises:
        InputError: The system trains no generator, or as ``train`` says.
    """
    if registry.get(system).trains != "generator":
        raise InputError(f"{system} trains no generator; take gan, vae or hierarchical-vae.")
    _train_into(system, data, Path(out), **options)
    return GeneratorRun.open(out)


def _train_into(
    system: str,
    data: str | Path | Dataset | Tensor | NDArray[Any] | None,
    out: Path,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    labels: Tensor | NDArray[Any] | None = None,
    dims: int | None = None,
    value_range: tuple[float, float] | None = None,
    captions: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    track: Sequence[str] = (),
) -> None:
    """Train a system into a folder; see ``train``."""
    # All settings as "key=value".
    pairs = dict(settings or {})
    if steps is not None:
        pairs["training.steps"] = steps
    if seed is not None:
        pairs["training.seed"] = seed
    overrides = [f"{key}={json.dumps(value)}" for key, value in pairs.items()]
    # Data by name or in files are opened from the config, an array or a data set is used as it is.
    if data is None or isinstance(data, str | Path):
        if any(given is not None for given in (labels, dims, value_range, captions)):
            raise InputError(
                "labels, dims, value_range and captions describe an array; for data in files set "
                "data.dims and others in settings."
            )
        train_system(
            system,
            None if data is None else str(data),
            out,
            overrides,
            start=start,
            resume=resume,
            minutes=minutes,
            track=track,
        )
        return
    dataset = (
        data if isinstance(data, Dataset) else Memory(data, labels, dims, value_range, captions)
    )
    check_resume(start, resume, minutes)
    if resume:
        config = apply_overrides(stored(system, out), overrides)
    else:
        config = configure(system, dataset, {"name": dataset.name}, overrides)
        config = fitted(config, dataset, overrides, start, minutes)
    warned = minutes is not None
    train_fitted(config, dataset, out, start=start, resume=resume, warned=warned, track=track)
