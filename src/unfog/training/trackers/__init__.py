"""Adapters of trackers. Importing this package registers all; their libraries are imported when a
run begins.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from unfog.errors import MissingExtra
from unfog.training.trackers import mlflow, tensorboard, trackio, wandb
from unfog.training.tracking import Tracker, trackers

__all__ = ["mlflow", "opened", "tensorboard", "trackio", "wandb"]


def opened(names: Sequence[str]) -> dict[str, Tracker]:
    """The trackers of these names, each once; ``InputError`` for an unknown name, and
    ``MissingExtra`` where its library is not installed.
    """
    found = {name: trackers.build({"name": name}) for name in names}
    for name, tracker in found.items():
        if importlib.util.find_spec(tracker.package) is None:
            raise MissingExtra(name, tracker.package)
    return found
