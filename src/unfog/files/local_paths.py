"""Where a run's data lie on this machine: ``local.yaml`` beside its config, which no command shows,
exports or reports.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files import yaml
from unfog.files.output import replace_durably

LOCAL = "local.yaml"  # the file, and what a config says in place of a path that lies in it


def without_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose absolute path of data is said to lie in ``local.yaml``."""
    path = (config.get("data") or {}).get("path")
    if not isinstance(path, str) or not os.path.isabs(path):
        return dict(config)
    return {**config, "data": {**config["data"], "path": LOCAL}}


def keep_paths(run: Path, config: Mapping[str, Any]) -> None:
    """Write the absolute path of a config's data beside it; nothing where it has none."""
    path = (config.get("data") or {}).get("path")
    if isinstance(path, str) and os.path.isabs(path):
        replace_durably(run / LOCAL, yaml.dump({"data": {"path": path}}).encode())


def with_paths(run: Path, config: dict[str, Any]) -> dict[str, Any]:
    """A config with the path of its data as ``local.yaml`` has it.

    Args:
        run: The run's folder.
        config: Its config.

    Returns:
        The config; as it was where it names a path itself, or the file is not there.

    Raises:
        InputError: The file is damaged.
    """
    if (config.get("data") or {}).get("path") != LOCAL or not (run / LOCAL).is_file():
        return config
    held = yaml.read(run / LOCAL)
    path = held.get("data", {}).get("path") if isinstance(held, dict) else None
    if not isinstance(path, str):
        raise InputError(f"{LOCAL} of {run.name} names no data; give --data their place.")
    return {**config, "data": {**config["data"], "path": path}}
