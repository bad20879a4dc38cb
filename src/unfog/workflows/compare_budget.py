"""The settings of a compared system's runs, which all its seeds share: those that go into the same
CPU minutes of training.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfog.files import json_text
from unfog.files.output import write_json
from unfog.runs.train_system import configured, fitted

OF = ":"  # between a system and a setting of its own
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
        own: The user's settings by dotted key, those of one system as "gan:objective.gamma"; with
            training.steps nothing is measured.
        minutes: CPU minutes of training.
        file: Where they are kept; what stands there is taken.

    Returns:
        By dotted key.
    """
    own = of_system(system, own)
    if "training.steps" in own:
        return own
    if file.is_file():
        kept: dict[str, Any] = json_text.read(file)
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


def of_system(system: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of all systems and those of this one, which win.

    >>> of_system("gan", {"training.batch": 32, "gan:training.lr": 0.1, "vae:training.lr": 0.2})
    {'training.batch': 32, 'training.lr': 0.1}
    """
    shared = {key: value for key, value in own.items() if OF not in key}
    mine = {key.partition(OF)[2]: v for key, v in own.items() if key.startswith(system + OF)}
    return shared | mine


def _leaves(section: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The values in a section by dotted key."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        inside = isinstance(value, Mapping) and value
        found |= _leaves(value, f"{name}.{key}") if inside else {f"{name}.{key}": value}
    return found
