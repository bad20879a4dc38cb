"""Clips of one length cut out of recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from unfog.audio.sounds.resample import resampled
from unfog.audio.sounds.sound import Samples, Sound
from unfog.core.named_class import named
from unfog.data.dataset import Config, Dataset, Ids, fingerprint
from unfog.errors import InputError

PEAK = 0.9  # the largest value to which a recording is scaled
LABEL = "label"


class Cuts(Dataset):
    """Clips (channels, frames) in [-1, 1] cut out of recordings at every ``stride``-th frame; a
    recording that is shorter than a clip is followed by silence. Training (``draw``) moves each by
    up to half a stride.

    The spacing of the grid, ``voxel``, is in seconds: one over the rate.

    Args:
        name: The data set's name.
        sounds: Recordings of one rate and number of channels.
        frames: Of a clip.
        stride: From one clip to the next, in frames; half a clip by default.
        labels: The class of each recording by name, which becomes the condition ``label``; None
            for no classes.
        captions: What each recording is, in words, or None.
        options: What besides the content enters the fingerprint.

    Raises:
        InputError: There are no recordings, or they differ in rate or channels.
    """

    def __init__(
        self,
        name: str,
        sounds: Sequence[Sound],
        frames: int,
        stride: int | None = None,
        labels: Sequence[str] | None = None,
        captions: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        step = max(1, frames // 2) if stride is None else stride
        if min(frames, step) < 1:
            raise InputError(f"The frames and the stride of {name} are 1 or more.")
        _require_alike(name, sounds)
        self.name, self.format, self.stride = name, "sound", step
        self.rate = sounds[0].rate
        self.shape, self.voxel = (len(sounds[0].samples), frames), (1 / self.rate,)
        self.codec: Config = {"name": "range", "low": -1.0, "high": 1.0}
        self.recordings = tuple(sound.samples for sound in sounds)
        # The recording of each clip, and where in it the clip begins.
        self.places = [
            (number, start)
            for number, x in enumerate(self.recordings)
            for start in range(0, max(1, x.shape[1] - frames + step), step)
        ]
        self.classes = tuple(sorted(set(labels))) if labels is not None else ()
        self.conditions = {LABEL: named(self.classes)} if labels is not None else {}
        self._numbers = [self.classes.index(label) for label in labels or ()]
        if captions is not None:
            self.captions = tuple(captions[number] for number, _ in self.places)
        known = {"name": name, "shape": self.shape, "stride": step, "rate": self.rate}
        known |= {"labels": labels, "captions": captions, **(options or {})}
        arrays = {str(k): x for k, x in enumerate(self.recordings)}
        self.fingerprint = fingerprint(arrays, known)

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        return self._cut([self.places[i] for i in self.index(ids)])

    def draw(self, ids: Ids, generators: Sequence[Generator]) -> dict[str, Tensor]:
        moved, frames = [], self.shape[1]
        for i, randomness in zip(self.index(ids), generators, strict=True):
            number, start = self.places[i]
            room = max(0, self.recordings[number].shape[1] - frames)
            low, high = max(0, start - self.stride // 2), min(room, start + self.stride // 2)
            shifted = int(torch.randint(min(low, high), high + 1, (), generator=randomness))
            moved.append((number, shifted))
        return self._cut(moved)

    def _cut(self, places: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        x = np.zeros((len(places), *self.shape), np.float32)
        for row, (number, start) in zip(x, places, strict=True):
            part = self.recordings[number][:, start : start + self.shape[1]]
            row[:, : part.shape[1]] = part
        out = {"x": torch.from_numpy(x)}
        if self._numbers:
            out[LABEL] = torch.tensor([self._numbers[number] for number, _ in places])
        return out


def _require_alike(name: str, sounds: Sequence[Sound]) -> None:
    """``InputError`` unless there are recordings, all of one rate and number of channels."""
    if not sounds:
        raise InputError(f"The data set {name} holds no recording; give other options.")
    if len({(sound.rate, len(sound.samples)) for sound in sounds}) != 1:
        raise InputError(
            f"The recordings of {name} differ in rate or channels; set data.rate, and "
            "data.channels=1."
        )


def prepared(sound: Sound, rate: int | None, channels: int | None, scaled: bool = True) -> Sound:
    """A recording as a data set holds it.

    Args:
        sound: As read.
        rate: Frames a second; its own by default.
        channels: 1 for mono; None as they are.
        scaled: Whether its largest value becomes ``PEAK``.

    Returns:
        The recording.

    Raises:
        InputError: It is silent, or there are other numbers of channels.
    """
    if channels not in (None, 1, len(sound.samples)):
        raise InputError(f"{sound.name} has {len(sound.samples)} channels, not {channels}.")
    sound = sound.loud().mono if channels == 1 else sound.loud()
    sound = sound if rate is None else resampled(sound, rate)
    if not scaled:
        return sound
    gain = PEAK / float(np.abs(sound.samples).max())
    return Sound(sound.samples * np.float32(gain), sound.rate, "PCM_16", sound.notes, sound.name)


def spoken(x: Samples, rate: int, beside: float = 0.05, share: float = 0.03) -> Samples:
    """The part of samples (channels, frames) from the first to the last value over ``share`` of the
    largest, with ``beside`` seconds on either side.
    """
    size = np.abs(x).max(0)
    heard = (size > share * size.max()).nonzero()[0]
    margin = round(beside * rate)
    return x[:, max(0, int(heard[0]) - margin) : int(heard[-1]) + margin]
