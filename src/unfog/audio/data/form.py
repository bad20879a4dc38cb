"""The file format of sounds: how ``inspect``, ``train`` and ``restore`` know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unfog.audio.sounds import SUFFIXES, Sound, read_sound, write_sound
from unfog.audio.sounds.loudness import integrated_loudness
from unfog.errors import InputError
from unfog.files.formats import formats
from unfog.files.numpy_files import Array
from unfog.files.scans import Format, Look, Scan, extremes


@dataclass(frozen=True)
class SoundScan(Scan):
    """A sound as a scan, (1, channels, frames); written as WAV, as the file stores its samples.

    Args:
        sound: The sound.
    """

    sound: Sound

    @property
    def values(self) -> Array:  # type: ignore[override]
        return np.array(self.sound.samples[None])

    def units(self, low: float, high: float) -> tuple[float, float]:
        return 0.0, 1.0

    def write(self, folder: Path, name: str, stack: Array) -> Path:
        return write_sound(folder / f"{name}.wav", replace(self.sound, samples=stack[0]))

    def finer(self, factor: int, axis: int | None = None) -> SoundScan:
        return SoundScan(replace(self.sound, rate=self.sound.rate * factor))


class Sounding(Format):
    """Sound: WAV, FLAC, OGG, MP3, AIFF."""

    name, suffixes, dataset = "sound", SUFFIXES, "recordings"
    keeps = "rate, channels and how a sample is stored, as WAV"

    def read(self, path: Path, dims: int) -> SoundScan:
        if dims != 1:
            raise InputError(
                f"{path.name} is a sound and the model is of {dims} dimensions; take a model of "
                "sound."
            )
        return SoundScan(read_sound(path))

    def describe(self, path: Path) -> dict[str, Any]:
        sound = read_sound(path)
        loudness = integrated_loudness(sound)
        facts = {
            "rate": sound.rate,
            "seconds": sound.seconds,
            "samples": sound.subtype,
            "loudness LUFS": round(loudness, 2) if np.isfinite(loudness) else None,
        }
        return {"kind": "sound", **extremes(sound.samples), **facts, "notes": list(sound.notes)}

    def holds(self, shape: Sequence[int]) -> bool:
        return False  # a signal has the same shape, so the data name this format

    def write(self, folder: Path, samples: Array, look: Look) -> None:
        """As of any format; ``look.voxel`` is one over the rate, in seconds."""
        write_samples(folder, "sample", samples, round(1 / look.voxel[0]))


def write_samples(folder: Path, name: str, samples: Array, rate: int) -> None:
    """Write sounds (n, channels, frames) as NAME-0000.wav and so on, 16 bits."""
    for k, sample in enumerate(samples):
        clipped = sample.clip(-1, 1).astype(np.float32)
        write_sound(folder / f"{name}-{k:04d}.wav", Sound(clipped, rate))


# A NumPy file may hold anything, so it stays the last.
formats.insert(len(formats) - 1, Sounding())
