"""Samples larger than those a run was trained on: in overlapping windows of the training's size, or
larger ones where the network's own reach is short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from unfog.core.denoiser import Denoiser
from unfog.core.tiles import Tiled, shifted
from unfog.core.torus import SQUARE, Offset, Torus
from unfog.errors import InputError
from unfog.runs.run import Run

AT_A_TIME = 8  # windows
# Voxels of a window and of what neighbours share, along an axis, of networks that are local.
WIDE, SHARED = 96, 16


def in_windows(
    run: Run, denoiser: Denoiser, space: Sequence[int], pictures: bool = False
) -> Denoiser:
    """A run's denoiser, or one made of it, for samples of a size that may be larger than in
    training. Volumes are denoised in half-overlapping windows of the training's size, whose mean is
    weighted so that no window's border shows (``core.tiles.Tiled``); they lie elsewhere at every
    time, so that no seam adds up. Where the network is local, whose windows hardly differ from the
    whole, they are larger, share less and stay where they are, a tenth of the work. Pictures and
    signals are taken whole, unless that is asked for them too: so a network that knows one size, as
    one with attention does, fills a larger canvas (Bar-Tal et al. 2023).

    Args:
        run: The model.
        denoiser: Its denoiser, or guidance on it.
        space: Size of a sample as the network sees it, (*space).
        pictures: Whether pictures and signals are made in windows as well.

    Returns:
        The denoiser for that size.

    Raises:
        InputError: A sample is smaller than a window, and the network is not local.
    """
    trained = run.latent_shape[1:]
    if (len(trained) < 3 and not pictures) or tuple(space) == tuple(trained):
        return denoiser
    if len(trained) == 3 and getattr(run.denoiser.network, "local", False):
        sides = [min(n, WIDE) for n in space]
        shared = [min(SHARED, side // 2) for side in sides]
        at_a_time = max(1, WIDE**3 // math.prod(sides))
        return Tiled(denoiser, sides, shared, at_a_time, maps_of(run))
    if any(n < side for n, side in zip(space, trained, strict=True)):
        raise InputError(
            f"A sample of {_size(space)} is smaller than the window of {_size(trained)} that "
            f"{run.name} was trained on; make it larger, or train on smaller ones."
        )
    return Tiled(denoiser, trained, batch=AT_A_TIME, maps=maps_of(run), cover=shifted)


def on_torus(run: Run, denoiser: Denoiser, offset: Offset = SQUARE) -> Denoiser:
    """A run's denoiser, or one made of it, for cells of any size that repeat over the plane, in
    windows of the training's size (``core.torus``).

    Args:
        run: The model, of pictures.
        denoiser: Its denoiser, or guidance on it.
        offset: How a cell's neighbours are offset, as the network sees it.

    Returns:
        The denoiser of cells.

    Raises:
        InputError: The run's samples are no pictures.
    """
    return Torus(denoiser, run.latent_shape[1:], offset, batch=AT_A_TIME, maps=maps_of(run))


def maps_of(run: Run) -> list[str]:
    """The names of a run's conditions that lie on the grid of its samples."""
    return [
        key
        for name, part in run.denoiser.conditioner.named()
        if part.on_grid or part.made_of_data
        for key in (name, *([f"{name}_{part.companion}"] if part.companion_on_grid else []))
    ]


def _size(space: Sequence[int]) -> str:
    return " x ".join(map(str, space))
