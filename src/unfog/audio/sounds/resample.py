"""Sounds at another rate, by the SoX resampler, whole or block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from unfog.audio.sounds.libraries import library
from unfog.audio.sounds.sound import Samples, Sound, check_kind


def count(frames: int, before: int, after: int) -> int:
    """The frames of a sound at another rate, as soxr rounds them."""
    return (2 * frames * after + before) // (2 * before)


def resampled(sound: Sound, rate: int) -> Sound:
    """A sound at another rate, band-limited, its phase linear.

    Args:
        sound: The sound.
        rate: Frames a second.

    Returns:
        The sound with a note, or itself where it has that rate.

    Raises:
        InputError: The rate is too low.
    """
    if rate == sound.rate:
        return sound
    check_kind(sound.name, len(sound.samples), rate)
    note = f"It has {sound.rate} frames a second and is taken at {rate}."
    blocks = list(resampled_blocks([sound.samples], sound.rate, rate))
    return replace(sound, samples=np.concatenate(blocks, 1), rate=rate, notes=(*sound.notes, note))


def resampled_blocks(blocks: Iterable[Samples], before: int, after: int) -> Iterator[Samples]:
    """Blocks (channels, frames) at another rate: together what ``resampled`` makes of the whole.

    Args:
        blocks: In order.
        before: Their rate.
        after: The rate asked for.

    Yields:
        Blocks of the resampled sound.
    """
    if before == after:
        yield from blocks
        return
    stream, last = None, np.zeros((0, 0), np.float32)
    for block in blocks:
        if stream is None:
            stream = library("soxr").ResampleStream(before, after, len(block))
            last = np.zeros((0, len(block)), np.float32)
        yield np.ascontiguousarray(stream.resample_chunk(np.ascontiguousarray(block.T)).T)
    if stream is not None:  # what the filter still holds
        yield np.ascontiguousarray(stream.resample_chunk(last, last=True).T)
