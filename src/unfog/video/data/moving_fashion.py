"""The data set ``moving-fashion``: clothes that move at a known velocity and bounce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.random import seed_of
from unfog.data.builtin.labelled_pictures import CLOTHES, LabelledPictures, fashion_mnist
from unfog.data.dataset import Dataset, Ids, choose, datasets, fingerprint
from unfog.errors import InputError
from unfog.video import frame_rate

SPRITE = 14  # pixels a side of a piece of clothing: a picture of Fashion-MNIST, averaged 2 by 2
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trajectories:
    """The truth of some clips.

    Args:
        places: The corner (row, column) of each piece in each frame, in pixels, (clips, pieces,
            frames, 2).
        velocities: At the beginning, in pixels a second, (clips, pieces, 2).
        pictures: The number of each piece's picture in Fashion-MNIST, (clips, pieces).
        fps: Frames a second of each clip, (clips,).
    """

    places: Array
    velocities: Array
    pictures: NDArray[np.int64]
    fps: Array

    @property
    def speeds(self) -> Array:
        """How far each piece moves from a frame to the next, in pixels a second, (clips, pieces,
        frames - 1): less than its speed where it bounces between them.
        """
        steps = np.linalg.norm(np.diff(self.places, axis=2), axis=3)
        return np.asarray(steps * self.fps[:, None, None])


class MovingFashion(Dataset):
    """Clips (1, frames, size, size) in [0, 255] of pictures of Fashion-MNIST that move over black
    at a constant speed, two at a time, and bounce at the borders; where they meet the brighter
    shows.

    A piece is 14 x 14 pixels. Its place at the beginning is uniform, its direction too, and its
    speed uniform between ``slowest`` and ``fastest``; it moves by fractions of a pixel, by linear
    interpolation. Clip i is made when it is asked for, a function of (seed, split, i) alone. The
    condition ``fps`` is its frame rate, one of ``rates``; captions name what moves where.

    Args:
        split: ``train`` or ``test``, whose pictures are those of Fashion-MNIST's splits.
        frames: Of a clip.
        size: The side in pixels; at 40 two pieces are apart in about four frames of ten.
        count: The number of clips.
        pieces: That move at a time.
        rates: Frames a second, of which each clip has one.
        slowest: The smallest speed, in pixels a second.
        fastest: The largest.
        seed: The seed.

    Raises:
        InputError: An option is out of range, or the package cannot be fetched.
    """

    def __init__(
        self,
        split: str = "train",
        frames: int = 16,
        size: int = 40,
        count: int = 20_000,
        pieces: int = 2,
        rates: tuple[float, ...] | list[float] = (8.0, 16.0),
        slowest: float = 8.0,
        fastest: float = 24.0,
        seed: int = 0,
    ) -> None:
        choose("The split of moving-fashion", split, ("train", "test"))
        if min(frames, count, pieces, len(rates)) < 1 or size <= SPRITE or min(rates) <= 0:
            raise InputError(
                f"moving-fashion needs frames, clips, pieces and rates above 0, and more than "
                f"{SPRITE} pixels a side; got {frames}, {count}, {pieces}, {list(rates)}, {size}."
            )
        if not 0 <= slowest <= fastest:
            raise InputError(
                f"The speeds of moving-fashion go from slowest to fastest, not {slowest} to "
                f"{fastest}."
            )
        self.name, self.split, self.seed = "moving-fashion", split, seed
        self.shape, self.count, self.pieces = (1, frames, size, size), count, pieces
        self.rates, self.speeds = [float(rate) for rate in rates], (slowest, fastest)
        self.codec = {"name": "range", "low": 0, "high": 255}
        self.conditions, self.format = {frame_rate.NAME: dict(frame_rate.SECTION)}, "video"
        self._pictures, self._labels = _sprites(split)
        options: dict[str, Any] = {"name": self.name, "split": split, "shape": self.shape}
        options |= {"count": count, "pieces": pieces, "rates": self.rates, "seed": seed}
        options |= {"speeds": self.speeds}
        self.fingerprint = fingerprint({"pictures": self._pictures}, options)

    def __len__(self) -> int:
        return self.count

    def trajectories(self, ids: Ids) -> Trajectories:
        """Where the pieces of some clips are in each frame."""
        truths = [self._drawn(int(i)) for i in self.index(ids)]
        places, velocities, pictures, fps = zip(*truths, strict=True)
        return Trajectories(
            np.stack(places), np.stack(velocities), np.stack(pictures), np.array(fps)
        )

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        truth = self.trajectories(ids)
        frames, size = self.shape[1], self.shape[2]
        clips = np.zeros((len(truth.fps), frames, size, size), np.float32)
        for clip, places, numbers in zip(clips, truth.places, truth.pictures, strict=True):
            for line, number in zip(places, numbers, strict=True):
                for frame, corner in zip(clip, line, strict=True):
                    _draw(frame, self._pictures[number], corner)
        fps = torch.from_numpy(truth.fps.astype(np.float32))[:, None]
        return {"x": torch.from_numpy(clips)[:, None], frame_rate.NAME: fps}

    def labels(self, ids: Ids) -> NDArray[np.int64]:
        """The class of each piece in Fashion-MNIST, (clips, pieces)."""
        return self._labels[self.trajectories(ids).pictures]

    def caption(self, number: int) -> str:
        """What a clip shows, such as "a bag moving up and a coat moving left"."""
        _, velocities, pictures, _ = self._drawn(number)
        parts = [
            f"{'an' if name[0] in 'aeiou' else 'a'} {name} moving {_direction(velocity)}"
            for name, velocity in zip(
                (CLOTHES[k] for k in self._labels[pictures]), velocities, strict=True
            )
        ]
        return " and ".join(parts)

    def _drawn(self, number: int) -> tuple[Array, Array, NDArray[np.int64], float]:
        """Places, velocities, pictures and frame rate of a clip."""
        random = np.random.default_rng(seed_of(self.seed, self.name, self.split, number))
        frames, room = self.shape[1], self.shape[2] - SPRITE
        fps = self.rates[random.integers(len(self.rates))]
        pictures = random.integers(len(self._pictures), size=self.pieces)
        start = random.uniform(0, room, (self.pieces, 1, 2))
        angle = random.uniform(0, 2 * np.pi, self.pieces)
        speed = random.uniform(*self.speeds, self.pieces)
        velocity = speed[:, None] * np.stack([np.sin(angle), np.cos(angle)], 1)
        # On a line without borders, folded at them.
        straight = start + velocity[:, None] * np.arange(frames)[:, None] / fps
        folded = np.abs((straight + room) % (2 * room) - room)
        return folded, velocity, pictures, fps


datasets.register("moving-fashion")(MovingFashion)


def _sprites(split: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All pictures of a split of Fashion-MNIST, (n, 14, 14), and their classes."""
    data: LabelledPictures = fashion_mnist(split)
    x = data.arrays["x"][:, 0]
    blocks = x.reshape(len(x), SPRITE, 2, SPRITE, 2).astype(np.float32)
    return blocks.mean((2, 4)), data.arrays["label"].astype(np.int64)


def _draw(frame: NDArray[np.float32], sprite: NDArray[np.float32], corner: Array) -> None:
    """Put a sprite at a corner between pixels, where it is brighter than what is there."""
    row, column = (int(v) for v in corner)
    down, right = np.float32(corner[0] - row), np.float32(corner[1] - column)
    # Linear interpolation: the sprite in four places.
    moved = np.zeros((SPRITE + 1, SPRITE + 1), np.float32)
    moved[:-1, :-1] += (1 - down) * (1 - right) * sprite
    moved[:-1, 1:] += (1 - down) * right * sprite
    moved[1:, :-1] += down * (1 - right) * sprite
    moved[1:, 1:] += down * right * sprite
    there = frame[row : row + SPRITE + 1, column : column + SPRITE + 1]
    np.maximum(there, moved[: there.shape[0], : there.shape[1]], out=there)


def _direction(velocity: Array) -> str:
    """Where a velocity (rows, columns) goes, in a word."""
    down, right = velocity
    if abs(down) > abs(right):
        return "down" if down > 0 else "up"
    return "right" if right > 0 else "left"
