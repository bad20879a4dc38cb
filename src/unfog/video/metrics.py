r"""How good clips are: frame by frame against the truth, how constant along time, how fast things
move, and how far a set of clips is from another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.random import generator
from unfog.errors import InputError
from unfog.evaluation.distances import frechet_distance
from unfog.evaluation.images import psnr, ssim
from unfog.networks.layers.temporal import fold
from unfog.video.flow import flows, warped

GRID, BINS = 4, 8  # places a side, and directions, of the motion features


def frame_psnr(x: Tensor, truth: Tensor, value_range: float = 1.0) -> Tensor:
    """PSNR of each frame in dB, (batch, frames), of clips (batch, channels, frames, rows, columns);
    ``value_range`` is the range of their values.
    """
    return psnr(fold(x), fold(truth), value_range=value_range).view(len(x), -1)


def frame_ssim(x: Tensor, truth: Tensor, value_range: float = 1.0) -> Tensor:
    """Structural similarity of each frame, (batch, frames), likewise."""
    return ssim(fold(x), fold(truth), value_range=value_range).view(len(x), -1)


def temporal_error(clips: Tensor, value_range: float = 1.0) -> Tensor:
    """Flow-warped error (Lai et al. 2018, arXiv:1808.00449): the root mean square difference of
    each frame from the one before it, moved by the optical flow between them (``flow``).

    Args:
        clips: (batch, channels, frames, rows, columns).
        value_range: The range of values, by which it is divided.

    Returns:
        The mean over the pairs of frames of each clip, (batch,): 0 where all that changes moves.
    """
    errors = []
    for clip in clips.movedim(2, 1).double().numpy() / value_range:
        moved = [warped(a, w) for a, w in zip(clip, flows(clip), strict=False)]
        squares = np.square(clip[1:] - np.stack(moved)).mean((1, 2, 3))
        errors.append(float(np.sqrt(squares).mean()))
    return torch.tensor(errors, dtype=torch.float64)


def wasserstein(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The Wasserstein distance of order 1 of two sets of numbers, in their unit: the mean distance
    of their quantiles.
    """
    if not len(a) or not len(b):
        raise InputError("A distance of speeds needs at least one on either side.")
    q = (np.arange(1000) + 0.5) / 1000
    return float(np.abs(np.quantile(a, q) - np.quantile(b, q)).mean())


def motion_features(clips: Tensor, value_range: float = 1.0) -> Tensor:
    """Features of what clips show and how it moves: on a grid of 4 x 4 places the mean and
    deviation of brightness along time, and a histogram of the flow's directions, weighted by its
    length.

    Args:
        clips: (batch, channels, frames, rows, columns).
        value_range: The range of values, by which brightness is divided.

    Returns:
        (batch, 16 * (2 + 8)), float64.
    """
    rows = []
    for clip in clips.movedim(2, 1).double().numpy() / value_range:
        light = _cells(clip.mean(1))
        down, right = np.moveaxis(flows(clip), 1, 0)
        length, angle = np.hypot(down, right), np.arctan2(down, right)
        which = np.floor((angle + np.pi) / (2 * np.pi) * BINS).astype(int) % BINS
        turned = [_cells(np.where(which == k, length, 0.0)).mean(0) for k in range(BINS)]
        rows.append(np.concatenate([light.mean(0), light.std(0), *turned], axis=None))
    return torch.from_numpy(np.stack(rows))


def _cells(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of maps (frames, rows, columns) over a grid of places, (frames, 4, 4)."""
    x = torch.from_numpy(np.ascontiguousarray(maps))[:, None]
    return np.asarray(torch.nn.functional.adaptive_avg_pool2d(x, GRID)[:, 0].numpy())


@dataclass(frozen=True)
class ClipDistance:
    """A Frechet distance of ``n`` clips to as many real ones in motion features, and its floor:
    that of other real clips, as many.
    """

    frechet: float
    floor: float
    n: int


def clip_distance(
    clips: Tensor, real: Tensor, other: Tensor, value_range: float = 1.0
) -> ClipDistance:
    """The Frechet distance of clips in ``motion_features``; no FVD, whose network is another.

    Args:
        clips: (n, channels, frames, rows, columns).
        real: As many real ones.
        other: As many other real ones, for the floor.
        value_range: The range of values.

    Returns:
        The distance, its floor and n.

    Raises:
        InputError: The sets differ in number.
    """
    if not len(clips) == len(real) == len(other):
        raise InputError(
            f"A distance and its floor need as many clips in each set, got {len(clips)}, "
            f"{len(real)} and {len(other)}."
        )
    a, b, c = (motion_features(x, value_range) for x in (clips, real, other))
    return ClipDistance(frechet_distance(a, b), frechet_distance(c, b), len(clips))


def shuffled(clips: Tensor, seed: int = 0) -> Tensor:
    """Clips (batch, channels, frames, rows, columns) with their frames in random order, each its
    own: what measures of motion must tell from the clips.
    """
    orders = [
        torch.randperm(clips.shape[2], generator=generator(seed, "shuffle", i))
        for i in range(len(clips))
    ]
    return torch.stack([clip[:, order] for clip, order in zip(clips, orders, strict=True)])
