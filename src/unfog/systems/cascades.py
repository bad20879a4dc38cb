"""Cascades: several systems that are trained one after the other and draw as one (Ho et al. 2022,
arXiv:2106.15282).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unfog.core.registry import unknown
from unfog.errors import InputError

CROP = 64  # the side of the squares on which the last upsampler is trained


@dataclass(frozen=True)
class Stage:
    """One stage of a cascade.

    Args:
        name: Its name, and that of its run's folder within the cascade's.
        system: What is trained.
        size: The side of its pictures, in pixels.
        settings: Changes of the system's recipe.
        runs: The settings that name the run of an earlier stage, and which.
    """

    name: str
    system: str
    size: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cascade:
    """A named cascade: what it is, its paper, its stages in order, and the data it is made for."""

    name: str
    summary: str
    paper: str
    stages: tuple[Stage, ...]
    data: str = "emoji"

    def stage(self, which: str) -> Stage:
        """A stage by its name, or by its number from 1; ``InputError`` where there is none."""
        names = [stage.name for stage in self.stages]
        if which.isdigit() and 1 <= int(which) <= len(names):
            return self.stages[int(which) - 1]
        if which not in names:
            raise unknown(f"stage of {self.name}", which, names)
        return self.stages[names.index(which)]


# Fully convolutional, so that what is trained on crops draws whole pictures.
_CONVOLUTIONAL = {
    "data.crop": CROP,
    "network.attention_levels": [],
    "network.middle_attention": False,
    "network.channels": 32,
    "training.batch": 8,
}
# Noise predicted in patches by a narrow network needs a shortcut past it (``runs.budget``).
_NARROW = {
    "network.channels": 48,
    "network.groups": 8,
    "network.patch": 2,
    "network.shortcut": True,
    "training.batch": 16,
}
_CASCADES = (
    Cascade(
        "imagen",
        "Imagen: small pictures by text, enlarged twice by 4",
        "Saharia et al. 2022, arXiv:2205.11487",
        (
            Stage("base", "imagen-base", 16),
            Stage(
                "upsampler-1",
                "imagen-upsampler",
                64,
                {"network.channels": 32, "training.batch": 8},
            ),
            Stage("upsampler-2", "imagen-upsampler", 256, _CONVOLUTIONAL),
        ),
    ),
    Cascade(
        "dalle2",
        "DALL-E 2: text to an embedding, the embedding to a picture, enlarged by 2 and by 4",
        "Ramesh et al. 2022, arXiv:2204.06125",
        (
            Stage("encoder", "contrastive", 32),
            Stage("prior", "dalle2-prior", 32, runs={"codec.run": "encoder"}),
            Stage(
                "decoder",
                "dalle2-decoder",
                32,
                {**_NARROW, "network.coordinates": True, "training.batch": 32},
                {"encoder.run": "encoder"},
            ),
            Stage(
                "upsampler-1",
                "dalle2-upsampler",
                64,
                {**_NARROW, "conditions.low.factor": 2},
            ),
            Stage(
                "upsampler-2",
                "dalle2-upsampler",
                256,
                {
                    **_NARROW,
                    "data.crop": CROP,
                    "conditions.low.blur": 0.0,
                    "conditions.low.degradation": "bsr",
                },
            ),
        ),
    ),
)
cascades: Mapping[str, Cascade] = {cascade.name: cascade for cascade in _CASCADES}


def cascade_named(name: str) -> Cascade:
    """The cascade of that name; ``InputError`` where there is none."""
    if name not in cascades:
        raise unknown("cascade", name, cascades)
    return cascades[name]


def require_side(stage: Stage, shape: tuple[int, ...]) -> None:
    """``InputError`` unless a stage's data are squares of its side, or of its crops'."""
    side = int(stage.settings.get("data.crop", stage.size))
    if tuple(shape[1:]) != (side, side):
        raise InputError(
            f"The stage {stage.name} draws squares of {side} pixels, and the data have "
            f"{' x '.join(map(str, shape[1:]))}; leave data.size and data.crop to the cascade."
        )
