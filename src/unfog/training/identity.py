"""What a resumed run must share with its checkpoint: its config and its data, but for the place
where these lie.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.training import checkpoint as disk
from unfog.training.settings import TrainSettings
from unfog.version import __version__

log = logging.getLogger("unfog.training.loop")
FREE = ("steps", "checkpoint_every")  # settings that a resumed run may change


@dataclass(frozen=True)
class Identity:
    """Hashes of a run's config and of its data, as they stand in its checkpoints.

    Args:
        hashes: Of ``config``, without the path of its data, and of ``data``.
        metadata: What its files of weights say of themselves, likewise without paths.
        with_path: Those of the config with the path, absolute or relative, of older checkpoints.
        source: The path or the name of the data, for errors.
    """

    hashes: dict[str, str]
    metadata: dict[str, str]
    with_path: frozenset[str]
    source: str

    @classmethod
    def of(cls, config: Mapping[str, Any], settings: TrainSettings, dataset: Dataset) -> Identity:
        """The identity of a run."""
        data = dict(config.get("data") or {"name": dataset.name})
        path = data.pop("path", None)
        without_path = {**config, "data": data} if "data" in config else dict(config)
        for name in ("codec", "text", "encoder"):
            part = dict(config.get(name) or {})
            if part.get("sha256"):  # which says what it is, wherever it lies
                without_path[name] = {k: v for k, v in part.items() if k not in ("run", "path")}
        hashes = {"config": hash_of(without_path, settings), "data": dataset.fingerprint}
        metadata = _metadata(without_path, dataset)
        if path is None:
            return cls(hashes, metadata, frozenset(), str(data["name"]))
        paths = ({"path": place} for place in (path, os.path.relpath(path)))
        older = ({**config, "data": {**data, **one}} for one in paths)
        return cls(hashes, metadata, frozenset(hash_of(one, settings) for one in older), str(path))

    def check(
        self, saved: disk.Checkpoint | None, settings: TrainSettings, device: torch.device
    ) -> None:
        """Refuse to go on with another run's data or config; warn where it is not bit for bit.

        Args:
            saved: The checkpoint that training goes on from; None checks nothing.
            settings: The settings that it goes on with.
            device: Where it goes on.

        Raises:
            InputError: Data or config changed, or the run is past its last step.
        """
        if saved is None:
            return
        state = saved.state
        if state["data"] != self.hashes["data"]:
            raise InputError(
                f"The training data changed since the checkpoint ({self.source} holds others); "
                "resume with what the run began with, or start a new run."
            )
        if state["config"] not in {self.hashes["config"], *self.with_path}:
            raise InputError(
                "The config changed since the checkpoint; resume with what the run began with, or "
                "start a new run."
            )
        if settings.steps < state["step"]:
            raise InputError(
                f"The run is at step {state['step']} already; ask for more than {settings.steps} "
                "'training.steps'."
            )
        if settings.steps != state["steps"] and settings.decay != "constant":
            message = "The %s decay is laid out anew over %d steps instead of %d."
            log.warning(message, settings.decay, settings.steps, state["steps"])
        _warn_of_changes(state["environment"], environment(device))


def _metadata(config: Mapping[str, Any], dataset: Dataset) -> dict[str, str]:
    """What a file of weights says of itself: recipe, data, the command with its settings, licence.

    Args:
        config: The run's config, without paths.
        dataset: Its data.

    Returns:
        Texts by name, for the file's metadata.
    """
    system, data = config.get("system"), config.get("data") or {"name": dataset.name}
    # The steps may change when a run goes on, and are in the checkpoint's state.
    fixed = {**config, "training": _fixed(config.get("training") or {})}
    command = f"unfog train {system} --data {data['name']}" if system else "unfog.training.train"
    return {
        "format": "pt",
        "made by": f"unfog {__version__}",
        "recipe": str(system or "a loop in Python"),
        "data": f"{data['name']}, SHA-256 {dataset.fingerprint}",
        "command": f"{command}, with the settings of 'config'",
        "config": json.dumps(fixed, sort_keys=True, default=str),
        "licence": str(getattr(dataset, "licence", "that of whoever trained it; not stated")),
    }


def _fixed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Training settings without those that a resumed run may change."""
    return {key: value for key, value in settings.items() if key not in FREE}


def hash_of(config: Mapping[str, Any], settings: TrainSettings) -> str:
    """The SHA-256 of the config and of the settings that a resumed run may not change."""
    # Settings at their defaults are left out, so that runs from before they existed can go on.
    unused = {"head_rate"} if settings.head_rate == 1 else set()
    unused |= set() if settings.snapshot_every else {"snapshot_every", "snapshot_lengths"}
    fixed = {key: value for key, value in asdict(settings).items() if key not in {*FREE, *unused}}
    content = {"config": {**config, "training": {}}, "settings": fixed}
    return hashlib.sha256(disk.to_json(content)).hexdigest()


def environment(device: torch.device) -> dict[str, Any]:
    """What the last bits of a training step depend on."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": device.type}


def machine(device: torch.device) -> dict[str, Any]:
    """Versions and machine of a run, for whoever reads it later."""
    return {
        "unfog": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        **environment(device),
    }


def _warn_of_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """A warning for each part of the environment that is not as it was."""
    message = "The %s was %s and is now %s: training goes on, but not bit for bit as unbroken."
    for name, value in now.items():
        if before[name] != value:
            log.warning(message, name, before[name], value)
