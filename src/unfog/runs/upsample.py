"""Upsampling by a run that was trained with the condition ``low-resolution``: a picture of each
small one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unfog.core.low_resolution import LowResolutionCondition, enlarged, mixed
from unfog.core.random import generators
from unfog.errors import InputError
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw


def low_resolution_of(run: Run) -> tuple[str, LowResolutionCondition]:
    """The name of a run's condition of a small picture, and the condition; ``InputError`` where it
    has none.
    """
    for name, part in run.denoiser.conditioner.named():
        if isinstance(part, LowResolutionCondition):
            return name, part
    raise InputError(
        f"{run.name} is no upsampler; train one: unfog train dalle2-upsampler or imagen-upsampler."
    )


def small_shape(run: Run, part: LowResolutionCondition) -> tuple[int, ...]:
    """Of the smallest picture that an upsampler enlarges, that of its training."""
    return (run.shape[0], *(side // part.factor for side in run.shape[1:]))


def small_picture(
    run: Run, pictures: Tensor, ids: Sequence[int], *, level: float = 0.0, seed: int = 0
) -> dict[str, Tensor]:
    """The condition of an upsampler for small pictures, with noise in them.

    Args:
        run: The upsampler.
        pictures: In natural units, (batch, channels, *grid), of the size of training or larger.
        ids: The samples' numbers; the noise of each depends on ``seed`` and its number alone.
        level: Of the noise-conditioning augmentation, from 0 to the largest of training.
        seed: The seed.

    Returns:
        The values by name.

    Raises:
        InputError: The run is no upsampler, the pictures have another size, or the level is beyond
            those of training.
    """
    name, part = low_resolution_of(run)
    least = small_shape(run, part)
    given = tuple(pictures.shape[1:])
    if given[0] != least[0] or any(n < m for n, m in zip(given, least, strict=True)):
        raise InputError(
            f"{run.name} enlarges pictures {least} or larger, channels first, and was given "
            f"{given}."
        )
    if not 0 <= level <= part.level:
        raise InputError(
            f"{run.name} was trained with noise of levels from 0 to {part.level:g} in the small "
            f"picture, not {level:g}."
        )
    levels = torch.full((len(pictures),), level)
    noisy = mixed(run.codec.encode(pictures), levels, generators(seed, ids, "augmentation"))
    return {name: noisy, f"{name}_{part.companion}": levels}


def upsample(
    run: Run,
    pictures: Tensor,
    plan: Plan,
    *,
    level: float = 0.0,
    seed: int = 0,
    condition: Mapping[str, Tensor] | None = None,
    **options: Any,
) -> Tensor:
    """A draw for each small picture.

    Args:
        run: The upsampler.
        pictures: In natural units, (batch, channels, *grid).
        plan: Sampler and times.
        level: Of the noise-conditioning augmentation: the higher, the less the picture is trusted.
        seed: Sample k depends on (seed, k) and its picture alone.
        condition: What else the samples show, by name, one for each.
        **options: Others of ``runs.sample.draw``: guidance, batch, report.

    Returns:
        (batch, channels, *space) in natural units.
    """
    ids = range(len(pictures))
    name, part = low_resolution_of(run)
    given = {**(condition or {}), **small_picture(run, pictures, ids, level=level, seed=seed)}
    # On the grid of the large picture already, so that windows cut both alike.
    space = [part.factor * side for side in pictures.shape[2:]]
    given[name] = enlarged(given[name], space)
    return draw(run, plan, ids, seed, condition=given, shape=(run.shape[0], *space), **options)
