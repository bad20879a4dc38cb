"""What a run is of, by its config."""

from __future__ import annotations

from pathlib import Path

from unfog.errors import InputError
from unfog.files import yaml
from unfog.runs.folder import CONFIG, locate


def is_video(source: str | Path) -> bool:
    """Whether a folder, or the shipped prior of that name, is a run of clips."""
    return _entry(source, "format") == "video"


def is_sound(source: str | Path) -> bool:
    """Whether a folder, or the shipped prior of that name, is a run of sound."""
    return _entry(source, "format") == "sound"


def is_generator(source: str | Path) -> bool:
    """Whether a folder is a run of a generator, such as a GAN."""
    return _entry(source, "generator") is not None


def is_molecules(source: str | Path) -> bool:
    """Whether a folder, or the shipped prior of that name, is a run of molecules."""
    return _entry(source, "system") == "molecules"


def is_art(source: str | Path) -> bool:
    """Whether a folder, or the shipped prior of that name, is a run of large pictures."""
    return _entry(source, "system") == "art"


def _entry(source: str | Path, key: str) -> object:
    """An entry of a run's config; None where there is none, or no run."""
    try:
        config = yaml.read(locate(source) / CONFIG)
    except InputError:
        return None
    return config.get(key) if isinstance(config, dict) else None
