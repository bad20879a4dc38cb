"""The libraries that sounds go through, loaded when they are first used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from unfog.errors import InputError


def library(name: str) -> ModuleType:
    """soundfile, soxr or pyloudnorm; ``InputError`` where it is not installed."""
    try:
        return import_module(name)
    except (ImportError, OSError) as error:
        raise InputError(
            f"Sounds go through {name}, which is not installed; pip install 'unfog[audio]'."
        ) from error
