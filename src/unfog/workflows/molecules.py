"""Which runs are of molecules."""

from __future__ import annotations

from pathlib import Path

from unfog.errors import InputError
from unfog.files import yaml
from unfog.runs.folder import CONFIG, locate


def is_molecules(source: str | Path) -> bool:
    """Whether a folder, or the shipped prior of that name, is a run of molecules."""
    try:
        config = yaml.read(locate(source) / CONFIG)
    except InputError:
        return False
    return isinstance(config, dict) and config.get("system") == "molecules"
