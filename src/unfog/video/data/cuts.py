"""Short clips of one size cut out of longer ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from unfog.data.dataset import Config, Dataset, Ids, fingerprint
from unfog.errors import InputError
from unfog.video import frame_rate
from unfog.video.clips import Clip


class Cuts(Dataset):
    """Clips (channels, frames, size, size) cut out of longer ones, at every ``stride``-th frame
    and, across, at the places of a half-overlapping grid. Training (``draw``) moves each in space
    and time by up to half the distance to its neighbour.

    The condition ``fps`` is each clip's frame rate.

    Args:
        name: The data set's name.
        clips: Longer clips of one type and number of channels, each at a constant rate.
        frames: Frames of a cut.
        size: Its side in pixels.
        stride: From one cut to the next, in frames.
        high: The value of white.
        options: What besides the content enters the fingerprint.

    Raises:
        InputError: A clip is shorter or smaller than a cut, or they differ in channels.
    """

    def __init__(
        self,
        name: str,
        clips: Sequence[Clip],
        frames: int,
        size: int,
        stride: int,
        high: float,
        options: dict[str, Any] | None = None,
    ) -> None:
        if min(frames, size, stride) < 1:
            raise InputError(f"The frames, size and stride of {name} are 1 or more.")
        for clip in clips:
            _require_large(clip, frames, size)
        if len({clip.frames.shape[1] for clip in clips}) != 1:
            raise InputError(
                f"Some clips of {name} are grey and some in colours; set data.grey=true."
            )
        self.name, self.stride = name, stride
        self.shape = (clips[0].frames.shape[1], frames, size, size)
        self.codec: Config = {"name": "range", "low": 0, "high": high}
        self.conditions, self.format = {frame_rate.NAME: dict(frame_rate.SECTION)}, "video"
        self._clips = [clip.frames for clip in clips]
        self._rates = np.array([clip.fps for clip in clips], np.float32)
        self._corners = [
            (number, t, row, column)
            for number, x in enumerate(self._clips)
            for t in range(0, len(x) - frames + 1, stride)
            for row in _places(x.shape[2], size)
            for column in _places(x.shape[3], size)
        ]
        known = {"name": name, "shape": self.shape, "stride": stride, **(options or {})}
        parts: dict[str, NDArray[Any]] = {str(k): x for k, x in enumerate(self._clips)}
        self.fingerprint = fingerprint({**parts, "fps": self._rates}, known)

    def __len__(self) -> int:
        return len(self._corners)

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        return self._cut([self._corners[i] for i in self.index(ids)])

    def draw(self, ids: Ids, generators: Sequence[Generator]) -> dict[str, Tensor]:
        moved = []
        for i, randomness in zip(self.index(ids), generators, strict=True):
            number, *corner = self._corners[i]
            x, (_, frames, size, _) = self._clips[number], self.shape
            room = (len(x) - frames, x.shape[2] - size, x.shape[3] - size)
            reach = (self.stride // 2, size // 4, size // 4)
            place = [
                int(torch.randint(max(0, at - r), min(end, at + r) + 1, (), generator=randomness))
                for at, end, r in zip(corner, room, reach, strict=True)
            ]
            moved.append((number, *place))
        return self._cut(moved)

    def _cut(self, corners: Sequence[tuple[int, ...]]) -> dict[str, Tensor]:
        _, frames, size, _ = self.shape
        cuts = [
            self._clips[k][t : t + frames, :, row : row + size, column : column + size]
            for k, t, row, column in corners
        ]
        x = torch.from_numpy(np.stack(cuts).astype(np.float32)).transpose(1, 2)
        fps = torch.from_numpy(self._rates[[k for k, *_ in corners]])[:, None]
        return {"x": x.contiguous(), frame_rate.NAME: fps}


def _require_large(clip: Clip, frames: int, size: int) -> None:
    """``InputError`` for a clip out of which nothing can be cut."""
    clip.first(frames)
    if min(clip.frames.shape[2:]) < size:
        rows, columns = clip.frames.shape[2:]
        raise InputError(
            f"{clip.name} measures {columns} x {rows} pixels and a cut {size}; set data.size to "
            f"{min(rows, columns)} or less."
        )


def _places(side: int, size: int) -> list[int]:
    """Where cuts begin along a side: half-overlapping, spread evenly from end to end."""
    count = 1 if side == size else -(-2 * (side - size) // size) + 1
    return [round(k * (side - size) / max(1, count - 1)) for k in range(count)]
