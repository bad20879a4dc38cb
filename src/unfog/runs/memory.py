"""What is done when memory runs out: first fewer images at a time, which changes no result, then
the prior in tiles of half the image's size, then of half that size, with a warning.

A tile sees less of its surroundings than the whole image shows. On a line, with a stationary prior
whose correlation falls to 1 / e within a fourteenth of a tile, the mean that MMPS draws is that of
the whole to .05 posterior deviations; within a tenth it is .08, within a seventh .13.
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
# Parts of the messages of torch's RuntimeErrors where memory runs out.
_MESSAGES = ("not enough memory", "can't allocate memory", "out of memory")
T = TypeVar("T")


@dataclass(frozen=True)
class Budget:
    """How much is held in memory at a time.

    Args:
        batch: Images at a time.
        tile: The width in pixels of the tiles that the prior works in; None for whole images.
    """

    batch: int
    tile: int | None = None

    def prior(self, denoiser: Denoiser) -> Denoiser:
        """The denoiser, in tiles where memory does not hold it whole."""
        return denoiser if self.tile is None else Tiled(denoiser, self.tile, batch=1)

    def half(self, space: Sequence[int]) -> Budget:
        """Half as much, of images of the size ``space``; ``InputError`` where no less can be
        done.
        """
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
    """Do some work within a budget, which is halved each time that memory runs out.

    Args:
        work: Does it within the budget it is given.
        budget: The budget to try first.
        space: Size of an image, (*space).

    Returns:
        What ``work`` gives, and the budget it was done in.

    Raises:
        InputError: Memory does not even hold one image in small tiles.
    """
    first = budget
    while True:
        try:
            result = work(budget)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        else:
            break
        # Out of the except clause, where the error still holds what filled the memory.
        budget = budget.half(space)
    if budget.tile != first.tile:
        warnings.warn(
            f"Memory ran out: images of {tuple(space)} are taken in overlapping tiles of "
            f"{budget.tile} pixels.",
            stacklevel=2,
        )
    return result, budget


def out_of_memory(error: Exception) -> bool:
    """Whether an error of Python or torch, on any device, says that memory ran out."""
    return isinstance(error, MemoryError) or any(part in str(error) for part in _MESSAGES)
