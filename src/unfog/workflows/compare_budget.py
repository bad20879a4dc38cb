"""The settings of a compared system's runs, which all its seeds share: those that go into the same
CPU minutes of training.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfog.files.output import write_json
from unfog.runs.train_system import configured, fitted

SECTIONS = ("network", "generator", "objective", "training", "sampling")


def settings_of(
    system: str, data: str, own: Mapping[str, Any], minutes: float, file: Path
) -> dict[str, Any]:
    """The settings of all seeds of a system, kept in a file.

    Steps, network and batch are chosen once, by a measurement in CPU seconds, so that what else
    the processor does has no part in the comparison, and seeds differ in nothing but the seed.

    Args:
        system: A system by name.
        data: Its data.
        own: The user's settings by dotted key; with training.steps nothing is measured.
        minutes: CPU minutes of training.
        file: Where they are kept; what stands there is taken.

    Returns:
        By dotted key.
    """
    if "training.steps" in own:
        return dict(own)
    if file.is_file():
        kept: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return kept
    pairs = [f"{key}={json.dumps(value)}" for key, value in own.items()]
    config, dataset = configured(system, data, pairs)
    config = fitted(config, dataset, pairs, None, minutes, time.process_time)
    found: dict[str, Any] = dict(own)
    for section in SECTIONS:
        if section in config:
            found |= _leaves(config[section], section)
    found.pop("training.seed")
    write_json(file, found)
    return found


def _leaves(section: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The values in a section by dotted key."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        inside = isinstance(value, Mapping) and value
        found |= _leaves(value, f"{name}.{key}") if inside else {f"{name}.{key}": value}
    return found
