"""Train a run again from its config, and say whether its bytes come out the same."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from unfog.data.dataset import open_dataset
from unfog.errors import InputError
from unfog.progress import training_progress
from unfog.runs.folder import locate, run_config
from unfog.runs.run import Run
from unfog.runs.train_data import absolute, data_section
from unfog.runs.train_from_config import train_config
from unfog.systems.registry import Config
from unfog.training.checkpoint import Checkpoint, load_newest, newest_verified
from unfog.training.identity import environment

COMPARED = ("weights", "ema", "optimizer")  # tensors of a checkpoint
LOG = "metrics.jsonl"


def reproduce(
    source: Path, out: Path, data: str | None = None, start: str | None = None
) -> dict[str, Any]:
    """Train a run again, with as many threads as it had, and compare bytes.

    Args:
        source: The run's folder.
        out: The folder of the new run.
        data: The data's new place; where they were by default.
        start: The run that it was fine-tuned from, where it was.

    Returns:
        Whether the weights, their average, the optimiser and the log are equal, whether all are,
        the largest difference of a weight, and what of the machine changed.

    Raises:
        InputError: The run is not finished, was distilled, or began from another run than is
            given; or its data changed.
    """
    path = locate(source)
    saved = load_newest(path)
    config = _again(run_config(path), path, saved, data)
    assert saved is not None
    dataset = open_dataset(config["data"])
    if dataset.fingerprint != saved.state["data"]:
        raise InputError(
            f"The data changed since {source} was trained: "
            f"{config['data'].get('path', dataset.name)} holds others; restore what it was trained "
            "on, or give --data its place."
        )
    began = _start(config, start)
    was = saved.state["environment"]
    with _threads(was["threads"]), training_progress(config["training"]["steps"]) as callback:
        now = environment(torch.device(was["device"] if torch.cuda.is_available() else "cpu"))
        train_config(
            config,
            dataset,
            out,
            start=None if began is None else began.denoiser,
            callback=callback,
        )
    equal = _equal(path, out)
    return {
        "run": str(out),
        "reproduces": str(source),
        "steps": saved.state["step"],
        **equal,
        "equal": all(equal.values()),
        "largest difference": _difference(saved, load_newest(out)),
        "changed": {k: f"{was[k]} -> {now[k]}" for k in now if was.get(k) != now[k]},
    }


def _again(config: Config, path: Path, saved: Checkpoint | None, data: str | None) -> Config:
    """The config to train again by; ``InputError`` where that cannot be done."""
    if saved is None:
        raise InputError(
            f"{path.name} holds no checkpoint to compare with; an exported run cannot be "
            "reproduced, the run it was exported from can."
        )
    if "teacher" in config:
        raise InputError(
            f"{path.name} was distilled from another run; make it again with unfog distill."
        )
    if saved.state["step"] < config["training"]["steps"]:
        raise InputError(
            f"{path.name} stopped at step {saved.state['step']} of {config['training']['steps']}; "
            "finish it first with unfog train --resume."
        )
    if data is not None:
        config["data"] = {**config["data"], **_moved(config["data"], data)}
    elif "path" in config["data"] and not Path(config["data"]["path"]).exists():
        raise InputError(
            f"The data that {path.name} was trained on are not at hand "
            f"({config['data']['path']}); give --data their new place."
        )
    return config


def _moved(section: Config, data: str) -> Config:
    """The new path of data; ``InputError`` where those of the run lie in no file."""
    named = absolute(data_section(data))
    if "path" not in section or "path" not in named:
        raise InputError(
            f"The run was trained on {section['name']!r}, which lies in no file of yours; leave "
            "out --data."
        )
    return {"path": named["path"]}


def _start(config: Config, start: str | None) -> Run | None:
    """The run that this one began from, verified."""
    section = config.get("start")
    if section is None:
        if start is not None:
            raise InputError("The run began from no other; leave out --start.")
        return None
    if start is None:
        raise InputError(
            f"The run began from the weights of {section['run']!r}; give --start that run."
        )
    run = Run.open(start)
    if run.weights_sha256 != section["sha256"]:
        raise InputError(f"The weights of {start} are not those that the run began from.")
    return run


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads of torch, on which the last bits of a sum depend."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _equal(first: Path, second: Path) -> dict[str, bool]:
    """Whether the files of two runs' newest checkpoints, and their logs, are equal."""
    folders = [newest_verified(path)[0] for path in (first, second)]
    assert None not in folders
    pairs: dict[str, list[Path]] = {
        name: [folder / f"{name}.safetensors" for folder in folders if folder is not None]
        for name in COMPARED
    }
    pairs["log"] = [first / LOG, second / LOG]
    return {name: len({_sha256(file) for file in files}) == 1 for name, files in pairs.items()}


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _difference(first: Checkpoint, second: Checkpoint | None) -> float:
    """The largest difference of a weight."""
    assert second is not None
    if first.weights.keys() != second.weights.keys():
        warnings.warn("The runs have weights of other names.", stacklevel=2)
        return float("inf")
    return max(
        float((value.double() - second.weights[name].double()).abs().max())
        for name, value in first.weights.items()
        if value.numel()
    )
