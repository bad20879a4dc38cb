"""Which data a run is trained on: the ``data`` section of a new run's config, and of one that goes
on.
"""

from __future__ import annotations

import os
from pathlib import Path

from unfog.data.dataset import datasets, kind_of
from unfog.errors import InputError
from unfog.systems.registry import Config


def data_section(data: str | None) -> Config:
    """The data section of a config for a registered name or a path, which becomes absolute."""
    if data is None:
        raise InputError(
            "A new run needs data; give --data one of `unfog data`, or your own file or folder."
        )
    if data in datasets.names():
        return {"name": data}
    path = Path(data)
    if not path.exists():
        raise InputError(
            f"There is no data set and no file or folder {data!r}; data sets: "
            f"{', '.join(datasets.names())}."
        )
    return absolute({"name": kind_of(path), "path": data})


def absolute(section: Config) -> Config:
    """The section with its path absolute, so that a run goes on from any working directory."""
    return {**section, "path": os.path.abspath(section["path"])} if "path" in section else section


def resumed_section(stored: Config, data: str | None, out: Path) -> Config:
    """The data section of a run that goes on. Whether the data are the same is for training to
    say, by their fingerprint.

    Args:
        stored: The run's own section.
        data: What the user names: its data, or the new place of them; None for its own.
        out: The run's folder.

    Returns:
        The section, with the new place of data that were moved.

    Raises:
        InputError: The data are other ones, or are not where they were.
    """
    if data is None:
        _require(stored)
        return stored
    named = data_section(data)
    own = stored.get("path", stored["name"])
    if ("path" in stored) != ("path" in named) or (
        "path" not in stored and named["name"] != stored["name"]
    ):
        raise InputError(
            f"{out} was trained on {own}, not on {data}; leave out --data, or start a new run."
        )
    if "path" not in stored or absolute(stored)["path"] == named["path"]:
        return stored
    if not any((out / "checkpoints").glob("step-*")):
        raise InputError(
            f"{out} has no checkpoint yet that says what the data in {own} were; leave out --data, "
            "or start a new run."
        )
    return {**stored, "path": named["path"]}


def _require(stored: Config) -> None:
    """``InputError`` where the data of a run are no longer where they were."""
    if "path" in stored and not Path(stored["path"]).exists():
        raise InputError(
            f"There is no file or folder {stored['path']}, on which the run was trained; give "
            "--data its new place."
        )
