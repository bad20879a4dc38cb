"""A sound: samples, and how many of them there are a second."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError

Samples = NDArray[np.float32]
SLOWEST = 4000  # samples a second below which speech is not understood
MOST = 2  # channels


@dataclass(frozen=True)
class Sound:
    """Samples in time, full scale from -1 to 1.

    Args:
        samples: (channels, frames), float32; 1 channel is mono, 2 are stereo.
        rate: Frames a second.
        subtype: How the file stores a sample, as libsndfile names it, such as PCM_16.
        notes: Sentences on what was changed or assumed in reading.
        name: Of the file, for messages.
    """

    samples: Samples
    rate: int
    subtype: str = "PCM_16"
    notes: tuple[str, ...] = ()
    name: str = "the sound"

    def __post_init__(self) -> None:
        check_kind(self.name, self.samples.shape[0], self.rate)
        if self.samples.shape[1] == 0:
            raise InputError(f"{self.name} holds 0 frames; give a sound that lasts.")
        bad = int((~np.isfinite(self.samples)).sum())
        if bad:
            raise InputError(
                f"{self.name} has {bad} samples of {self.samples.size} that are not finite; mend "
                "them."
            )

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return float(self.samples.shape[1] / self.rate)

    @property
    def mono(self) -> Sound:
        """The mean of its channels."""
        if len(self.samples) == 1:
            return self
        return replace(self, samples=self.samples.mean(0, keepdims=True))

    def loud(self) -> Sound:
        """The sound itself; ``InputError`` where every sample is 0."""
        if not self.samples.any():
            raise InputError(f"{self.name} is silent: every sample is 0; give a sound.")
        return self


def check_kind(name: str, channels: int, rate: int) -> None:
    """``InputError`` for channels and rates that no model here is made for.

    Args:
        name: Of the file.
        channels: 1 or 2.
        rate: Frames a second, ``SLOWEST`` or more.
    """
    if not 1 <= channels <= MOST:
        raise InputError(
            f"{name} has {channels} channels; give mono or stereo, such as two of them at a time."
        )
    if rate < SLOWEST:
        raise InputError(
            f"{name} has {rate} frames a second; give {SLOWEST} or more, below which there is "
            "little of speech or music."
        )
