"""The user's runs and the shipped priors: by opaque ids in forms, by their places to commands."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files import yaml
from unfog.runs.record import run_folders
from unfog.training.config_record import CONFIG


@dataclass(frozen=True)
class Listed:
    """A run or a prior.

    Args:
        id: In forms: a prior's name, or sixteen digits for a run.
        label: What a reader sees.
        told: What the command line takes.
        config: Its config.
    """

    id: str
    label: str
    told: str
    config: Mapping[str, Any]

    @property
    def space(self) -> list[int]:
        """The sizes of a sample without its channels."""
        return list(self.config.get("shape") or [])[1:]


@cache
def priors() -> tuple[Listed, ...]:
    """The priors that ship with the package."""
    folder = Path(str(files("unfog"))) / "priors"
    found = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
    return tuple(Listed(p.name, p.name, p.name, yaml.read(p / CONFIG)) for p in found)


def id_of(name: str) -> str:
    """The id of a run of this name below the folder."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


class RunsFolder:
    """The folder that the lab was opened on."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def runs(self) -> list[Listed]:
        """The runs in the folder and below, by name; hidden folders are left out."""
        found = []
        for folder in run_folders(self.root):
            try:
                config = yaml.read(folder / CONFIG)
            except InputError:
                continue  # damaged, or being written
            if isinstance(config, dict):
                name = str(folder.relative_to(self.root))
                found.append(Listed(id_of(name), name, str(folder), config))
        return found

    def get(self, name: str) -> Listed:
        """The run or prior of an id; ``InputError`` where there is none."""
        for one in (*priors(), *self.runs()):
            if one.id == name:
                return one
        raise InputError("There is no such run; choose one of those listed.")
