"""The registry of systems: a recipe is a function from a data set to the config of a run."""

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
    """A named system: a one-line summary of what it is, its paper, its recipe, and the name of the
    codec that the recipe is made for where that is not the data's own, what it trains, the data
    set it is made for, the side of the patches in which it takes volumes from files, in voxels,
    the encoder that reads its data's captions, and whether it is told embeddings of a joint
    encoder.
    """

    name: str
    summary: str
    paper: str
    recipe: Recipe
    codec: str | None = None
    trains: str = "denoiser"
    data: str | None = None
    patch: int | None = None
    text: str | None = None
    encoder: bool = False

    def config(self, dataset: Dataset) -> Config:
        """The full config for a data set: what the data say, then the recipe's sections."""
        shared = {
            "system": self.name,
            "shape": list(dataset.shape),
            "codec": dict(dataset.codec),
        }
        if dataset.space is not None:
            shared["space"] = dict(dataset.space)
        if dataset.format is not None:
            shared["format"] = dataset.format
        if dataset.voxel is not None:
            shared["voxel"] = list(dataset.voxel)
        return {**shared, **self.recipe(dataset)}


_systems: dict[str, System] = {}


def system(
    name: str,
    summary: str,
    paper: str,
    codec: str | None = None,
    trains: str = "denoiser",
    data: str | None = None,
    patch: int | None = None,
    text: str | None = None,
    encoder: bool = False,
) -> Callable[[Recipe], Recipe]:
    """Decorator that registers a recipe as a system.

    Args:
        name: The name it is trained by.
        summary: What it is, in one line.
        paper: Authors, year and arXiv number.
        codec: The codec that it is made for; None is the data's own.
        trains: "denoiser", "autoencoder", "joint encoder" or "generator".
        data: The data set it is trained on where none is named.
        patch: The side in voxels of the patches it takes of volumes in files; None takes them as
            the data set does.
        text: The text encoder for the captions of its data; None reads none.
        encoder: Whether it is told embeddings of its pictures by a joint encoder.

    Returns:
        The decorator, which returns the recipe unchanged.
    """

    def add(recipe: Recipe) -> Recipe:
        _systems[name] = System(
            name, summary, paper, recipe, codec, trains, data, patch, text, encoder
        )
        return recipe

    return add


def names() -> list[str]:
    """The names of all registered systems, sorted."""
    return sorted(_systems)


def get(name: str) -> System:
    """The system of this name; ``InputError`` where there is none."""
    if name not in _systems:
        raise unknown("system", name, _systems)
    return _systems[name]
