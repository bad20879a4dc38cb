"""``unfog verify``: hold every file of a run to what the run says of it, and adopt a deliberate
edit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files.sealed import SEAL, read_sealed
from unfog.files.weight_files import read_header
from unfog.runs.folder import (
    MANIFEST,
    OPTIONAL,
    REQUIRED,
    WEIGHTS,
    locate,
    manifest_of,
    relist,
    verify_file,
)
from unfog.training.checkpoint import checkpoints, fault
from unfog.training.config_record import CONFIG, RECORD, adopt_config

VERIFIED, UNRECORDED = "verified", "not recorded"
SEALED = ("solvers", "uncertainty")  # folders of records that carry their own hash


def verify(source: str | Path, accept: bool = False) -> dict[str, Any]:
    """Verify every file of a run.

    Args:
        source: The run, or a shipped prior by name.
        accept: Whether the config, and of an exported run each file, is adopted as it is now;
            checkpoints, solvers and uncertainty never are.

    Returns:
        What was found of each ``file``, whether everything is ``sound``, and what was ``adopted``.

    Raises:
        InputError: There is no run, or what is to be adopted are no sound weights.
    """
    path = locate(source)
    exported = not (path / "checkpoints").is_dir() and (path / MANIFEST).is_file()
    adopted = (_adopt_exported(path) if exported else adopt_config(path)) if accept else []
    files = _exported(path) if exported else _trained(path)
    for folder in SEALED:
        for file in sorted((path / folder).glob("*.json")):
            files[f"{folder}/{file.name}"] = _said(partial(_sealed, file))
    sound = all(said in (VERIFIED, UNRECORDED) for said in files.values())
    return {"run": str(source), "sound": sound, "files": files, "adopted": adopted}


def _said(check: Callable[[], str]) -> str:
    """What a check says, or the sentence with which it refuses."""
    try:
        return check()
    except InputError as error:
        return str(error)


def _sealed(file: Path) -> str:
    record = read_sealed(file, "calibrate again with --overwrite")
    return VERIFIED if SEAL in record else UNRECORDED


def _listed(path: Path, name: str) -> str:
    """What the manifest says of a file."""
    verify_file(path, name)
    return VERIFIED if name in manifest_of(path) else UNRECORDED


def _exported(path: Path) -> dict[str, str]:
    """What is found of the files of an exported run."""
    names = [*REQUIRED, *(name for name in OPTIONAL if (path / name).is_file())]
    return {name: _said(partial(_listed, path, name)) for name in names}


def _trained(path: Path) -> dict[str, str]:
    """What is found of the files of a training run."""

    def config() -> str:
        verify_file(path, CONFIG)
        return VERIFIED if (path / RECORD).is_file() else UNRECORDED

    found = {CONFIG: _said(config)}
    for folder in checkpoints(path):
        found[f"checkpoints/{folder.name}"] = fault(folder) or VERIFIED
    return found


def _adopt_exported(path: Path) -> list[str]:
    """List the files of an exported run as they are now; which of them had changed."""
    read_header(path / WEIGHTS)
    try:
        before = manifest_of(path)
    except InputError:
        before = {}
    relist(path)
    now = manifest_of(path)
    return [name for name in now if before.get(name) != now[name]]
