"""Systems by name: a recipe is a function from a data set to a config, over the parts below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unfog.core.registry import unknown
from unfog.data.dataset import Dataset

Config = dict[str, Any]
Recipe = Callable[[Dataset], Config]


@dataclass(frozen=True)
class System:
    """A named system: what it is, where it comes from, its recipe."""

    name: str
    summary: str
    paper: str
    recipe: Recipe

    def config(self, dataset: Dataset) -> Config:
        """The full config for a data set: what every system shares, then the recipe's own."""
        shared = {
            "system": self.name,
            "shape": list(dataset.shape),
            "codec": dict(dataset.codec),
        }
        if dataset.space is not None:
            shared["space"] = dict(dataset.space)
        if dataset.format is not None:
            shared["format"] = dataset.format
        return {**shared, **self.recipe(dataset)}


_systems: dict[str, System] = {}


def system(name: str, summary: str, paper: str) -> Callable[[Recipe], Recipe]:
    """Decorator: make a recipe a system."""

    def add(recipe: Recipe) -> Recipe:
        _systems[name] = System(name, summary, paper, recipe)
        return recipe

    return add


def names() -> list[str]:
    """All systems."""
    return sorted(_systems)


def get(name: str) -> System:
    """The system called ``name``."""
    if name not in _systems:
        raise unknown("system", name, _systems)
    return _systems[name]
