"""What happens to sounds: noise, gaps, lost bandwidth and clipping, as measurements of a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.audio.sounds.sound import Samples
from unfog.errors import InputError
from unfog.physics.linear import Operator
from unfog.physics.measurement import Measurement
from unfog.physics.operators import Identity, Mask

REACH = 10  # zero crossings of the low pass on either side
SHORTEST = 0.002  # seconds of zeros that are a gap
HELD = 3  # samples in a row at the largest value that say a sound is clipped
QUIETEST = 0.2  # the share of a file's frames in which there is noise alone
FRAME = 512  # samples of one

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """A window of a sound.

    Args:
        start: Its first restored sample.
        first: Whether it begins the sound.
        last: Whether it ends it.
        frames: Samples measured in it, which padding follows; all by default.
        past: Draws of the half window of the sound just ahead of it, (batch, 1, half).
    """

    start: int
    first: bool
    last: bool
    frames: int | None = None
    past: Tensor | None = None


Measure = Callable[[Tensor, Place], tuple[Tensor, Operator | Measurement]]
Consistent = Callable[[Tensor, Tensor, Place], Tensor]
Begin = Callable[[Tensor, Place], Tensor]


@dataclass(frozen=True)
class Damage:
    """What happened to a sound.

    Args:
        measure: From a window y (batch, 1, samples) and its place to y as the operator gives it,
            and the operator.
        consistent: From a restored window x, y and the place to the x nearest to it that agrees
            with what is known for certain.
        least: The noise that is at least taken, on the model's scale.
        begin: From y and the place to what draws begin from, noise being added to it: what is known
            of x, and 0 elsewhere.
        widest: The deviation of that noise.
    """

    measure: Measure
    consistent: Consistent = lambda x, y, place: x
    least: float = 1e-3
    begin: Begin = lambda y, place: torch.zeros(())
    widest: float = 0.5


class Decimate(Operator):
    """A low pass at 1 / ``factor`` of the band (a sinc under Kaiser's window), of which every
    ``factor``-th sample is kept. Where the filter reaches out of a window into what lies beside it,
    nothing is measured.

    Args:
        factor: 2 or more.
        first: Whether the window begins the sound, ahead of which there is silence.
        last: Whether it ends it.
    """

    def __init__(self, factor: int, first: bool = True, last: bool = True) -> None:
        if factor < 2:
            raise InputError(f"A sound is extended by a factor of 2 or more, not {factor}.")
        self.factor, self.first, self.last = factor, first, last
        k = torch.arange(-REACH * factor, REACH * factor + 1, dtype=torch.float64)
        kernel = torch.special.sinc(k / factor) * torch.kaiser_window(
            len(k), periodic=False, beta=5.0, dtype=torch.float64
        )
        self.kernel = (kernel / kernel.sum()).float()

    def __call__(self, x: Tensor) -> Tensor:
        kernel = self.kernel.to(x).expand(x.shape[1], 1, -1)
        y = torch.nn.functional.conv1d(
            x, kernel, stride=self.factor, padding=REACH * self.factor, groups=x.shape[1]
        )
        return self.within(y)

    def adjoint(self, y: Tensor) -> Tensor:
        kernel = self.kernel.to(y).expand(y.shape[1], 1, -1)
        x = torch.nn.functional.conv_transpose1d(
            self.within(y),
            kernel,
            stride=self.factor,
            padding=REACH * self.factor,
            output_padding=self.factor - 1,
            groups=y.shape[1],
        )
        return x

    def within(self, y: Tensor) -> Tensor:
        """y with zeros where the filter reaches out of the window."""
        keep = torch.ones(y.shape[-1], dtype=y.dtype, device=y.device)
        if not self.first:
            keep[:REACH] = 0
        if not self.last:
            keep[-REACH:] = 0
        return y * keep


class Clip:
    """Clipping, y = min(max(x, -level), level): a measurement that is not linear. A sample at the
    level says only that x is at it or beyond, since the slope there is 0.
    """

    def __init__(self, level: float) -> None:
        self.level = level

    def __call__(self, x: Tensor) -> Tensor:
        return x.clamp(-self.level, self.level)


NOISE = Damage(lambda y, place: (y, Identity()))  # white noise: every sample is measured


def gaps(silent: Flags) -> Damage:
    """Gaps where ``silent`` (frames,) is True, at the rate of the model; what lies beside them is
    kept.
    """
    all_known = torch.from_numpy(~silent)

    def known(y: Tensor, place: Place) -> Tensor:
        keep = torch.ones(y.shape[-1], dtype=torch.bool)
        part = all_known[place.start : place.start + y.shape[-1]]
        keep[: len(part)] = part
        return keep

    def beside(y: Tensor, place: Place) -> tuple[Tensor, Operator]:
        keep = known(y, place)
        if not bool(keep.any()):
            raise InputError(
                f"A gap fills a whole window of {y.shape[-1]} samples; train on longer clips, or "
                "give a shorter gap."
            )
        mask = Mask(keep.expand(len(y), 1, -1))
        return mask(y), mask

    return Damage(
        beside,
        lambda x, y, place: torch.where(known(y, place), y, x),
        begin=lambda y, place: torch.where(known(y, place), y, 0.0),
        widest=1.0,
    )


def bandwidth(factor: int) -> Damage:
    """Sounds of a rate ``factor`` times lower."""

    def below(y: Tensor, place: Place) -> tuple[Tensor, Operator]:
        operator = Decimate(factor, place.first, place.last)
        return operator.within(y), operator

    return Damage(below)


def clipping(level: float) -> Damage:
    """Clipping at a level, in the units of y; samples below it are kept, and those at it end there
    or beyond. The noise is taken for larger: with less, the level would be fitted as if it were a
    value, early on the way where the mean lies below it.
    """

    def consistent(x: Tensor, y: Tensor, place: Place) -> Tensor:
        clipped = y.abs() >= (1 - 1e-4) * level
        return torch.where(clipped, y.sign() * (y.sign() * x).clamp(min=level), y)

    return Damage(
        lambda y, place: (y, Clip(level)),
        consistent,
        least=1e-2,
        begin=lambda y, place: y,
        widest=0.35,
    )


@dataclass(frozen=True)
class Heard:
    """What a first pass over a file finds.

    Args:
        frames: Of the file.
        peak: Its largest value.
        clipped: Samples at the largest value that stand in rows of ``HELD`` or more.
        noise: The standard deviation of white noise in it, in its quietest frames.
        silent: Where all channels are 0 for ``SHORTEST`` seconds or more, (frames,).
    """

    frames: int
    peak: float
    clipped: int
    noise: float
    silent: Flags


def listen(blocks: Iterator[Samples], rate: int) -> Heard:
    """A first pass over a file.

    Args:
        blocks: Of its samples, (channels, frames).
        rate: Frames a second.

    Returns:
        What is found.
    """
    peak, clipped, frames = 0.0, 0, 0
    deviations, zeros = list[float](), list[Flags]()
    for x in blocks:
        frames += x.shape[1]
        highest = float(np.abs(x).max())
        if not np.isfinite(highest):
            return Heard(frames, highest, 0, 0.0, np.zeros(0, bool))
        held = _held(np.abs(x) >= (1 - 1e-6) * highest)
        # Samples at the level of an earlier block count too, those below a new one do not.
        clipped = held if highest > peak * (1 + 1e-6) else clipped + held * (highest >= peak)
        peak = max(peak, highest)
        zeros.append(np.all(x == 0, axis=0))
        deviations += _fine_deviations(x[0])
    silent = np.concatenate(zeros) if zeros else np.zeros(0, bool)
    loud = sorted(value for value in deviations if value > 0)
    quiet = loud[int(QUIETEST * (len(loud) - 1))] if loud else 0.0
    return Heard(frames, peak, clipped, quiet, runs(silent, round(SHORTEST * rate)))


def runs(flags: Flags, least: int) -> Flags:
    """Flags (frames,) of which only rows of ``least`` or more are left."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    kept = np.zeros_like(flags)
    for start, stop in edges.reshape(-1, 2):
        if stop - start >= least:
            kept[start:stop] = True
    return kept


def _held(at_peak: Flags) -> int:
    """Samples (channels, frames) at the largest value that stand in rows."""
    return sum(int(runs(row, HELD).sum()) for row in at_peak)


def _fine_deviations(x: NDArray[np.float32]) -> list[float]:
    """The deviation of white noise by the second differences of each frame, in which speech and
    music are weak.
    """
    d = np.diff(x, 2)
    d = d[: len(d) // FRAME * FRAME].reshape(-1, FRAME)
    return [float(v) for v in np.median(np.abs(d), 1) / (0.6745 * 6**0.5)]
