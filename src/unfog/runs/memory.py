"""When memory runs out: fewer images at a time, which changes no result, then a prior in tiles of
half the size, and half of that.

Tiles see less of their surroundings. On a line, with a stationary prior whose correlation falls to
1 / e within a fourteenth of a tile, the mean that MMPS draws is that of the whole to .05 posterior
deviations; a tenth makes it .08, a seventh .13. A warning says of tiles.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from unfog.core.denoiser import Denoiser
from unfog.core.tiles import Tiled
from unfog.errors import InputError

LEAST_TILE = 8  # pixels
# of torch, where it has no error of its own for it
_SAYINGS = ("not enough memory", "can't allocate memory", "out of memory")
T = TypeVar("T")


@dataclass(frozen=True)
class Budget:
    """How much is done at a time: ``batch`` images, whole or, with ``tile``, in tiles of so many
    pixels.
    """

    batch: int
    tile: int | None = None

    def prior(self, denoiser: Denoiser) -> Denoiser:
        """The denoiser, in tiles where memory does not hold it whole."""
        return denoiser if self.tile is None else Tiled(denoiser, self.tile, batch=1)

    def half(self, space: Sequence[int]) -> Budget:
        """Half as much of images of a size; ``InputError`` where no less can be done."""
        if self.batch > 1:
            return Budget(self.batch // 2)
        tile = -(-(self.tile or max(space)) // 2)
        if tile < LEAST_TILE:
            raise InputError(
                f"Memory runs out even for one image of {tuple(space)} in small tiles; close "
                "other programs, or crop it."
            )
        return Budget(1, tile)


def within_memory(
    work: Callable[[Budget], T], budget: Budget, space: Sequence[int]
) -> tuple[T, Budget]:
    """What ``work`` gives in as much of ``budget`` as memory has, on images of the size ``space``,
    and how much that was.
    """
    asked = budget
    while True:
        try:
            done = work(budget)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        else:
            break
        budget = budget.half(space)  # not above, where the error still holds what filled the memory
    if budget.tile != asked.tile:
        warnings.warn(
            f"Memory ran out: images of {tuple(space)} are taken in overlapping tiles of "
            f"{budget.tile} pixels.",
            stacklevel=2,
        )
    return done, budget


def out_of_memory(error: Exception) -> bool:
    """Whether an error of Python or torch, on any device, says that memory ran out."""
    return isinstance(error, MemoryError) or any(saying in str(error) for saying in _SAYINGS)
