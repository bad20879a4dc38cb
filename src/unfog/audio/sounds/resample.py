"""Sounds at another rate, by polyphase filters (scipy), whole or block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import gcd

import numpy as np

from unfog.audio.sounds.sound import Samples, Sound, check_kind

REACH = 10  # zero crossings of the filter on either side, scipy's own


def resampled(sound: Sound, rate: int) -> Sound:
    """A sound at another rate, band-limited by a Kaiser-windowed sinc.

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
    return replace(
        sound,
        samples=_polyphase(sound.samples, sound.rate, rate),
        rate=rate,
        notes=(*sound.notes, note),
    )


def resampled_blocks(blocks: Iterable[Samples], before: int, after: int) -> Iterator[Samples]:
    """Blocks (channels, frames) at another rate: what ``resampled`` makes of the whole, since each
    block is filtered with as much of its neighbours as the filter reaches.

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
    common = gcd(before, after)
    up, down = after // common, before // common
    # The filter's reach in frames, in whole periods of the phase.
    margin = -(-(REACH * max(up, down) // up + 1) // down) * down
    held: Samples | None = None
    done = 0  # frames of ``held`` that lie before the next output
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], 1)
        ready = (held.shape[1] - done - margin) // down * down
        if ready > 0:
            out = _polyphase(held[:, : done + ready + margin], before, after)
            yield out[:, done * up // down : (done + ready) * up // down]
            kept = max(0, done + ready - margin)
            held, done = held[:, kept:], done + ready - kept
    if held is not None and held.shape[1] > done:
        yield _polyphase(held, before, after)[:, done * up // down :]


def _polyphase(x: Samples, before: int, after: int) -> Samples:
    """(channels, frames) at another rate; the first frame keeps its time."""
    from scipy.signal import resample_poly

    common = gcd(before, after)
    out = resample_poly(x.astype(np.float64), after // common, before // common, axis=1)
    return np.ascontiguousarray(out.astype(np.float32))
