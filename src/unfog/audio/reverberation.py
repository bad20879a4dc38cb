"""A room's reverberation: sounds convolved with a response whose first tap, the direct sound, is
1."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.audio.damage import Damage, Place
from unfog.errors import InputError
from unfog.physics.linear import Operator


class Reverberation(Operator):
    """Causal convolution with the response of a room, y_t = sum_k h_k x_(t-k), within a window.

    Args:
        taps: h, (1 or batch, 1, length).
        inside: Whether nothing is measured where the response reaches out of the window into what
            was heard ahead of it; otherwise there is silence.
        frames: Samples measured; what follows them is padding. All by default.

    Raises:
        InputError: There are no taps.
    """

    def __init__(self, taps: Tensor, inside: bool = False, frames: int | None = None) -> None:
        if taps.shape[-1] == 0:
            raise InputError("A room's response has 1 tap or more.")
        self.taps, self.inside, self.frames = taps, inside, frames

    def __call__(self, x: Tensor) -> Tensor:
        return self.within(convolved(x, self.taps.to(x)))

    def adjoint(self, y: Tensor) -> Tensor:
        return correlated(self.within(y), self.taps.to(y), y.shape[-1])

    def within(self, y: Tensor) -> Tensor:
        """y with zeros where nothing is measured."""
        keep = torch.ones(y.shape[-1], dtype=y.dtype, device=y.device)
        if self.inside:
            keep[: self.taps.shape[-1] - 1] = 0
        if self.frames is not None:
            keep[self.frames :] = 0
        return y * keep


class Taps(Operator):
    """The same convolution as a map of the response: u (batch, 1, length) to what windows x (batch,
    windows, samples) become by taps ``scale`` u, where all of the response lies within a window.

    Args:
        x: The dry sound.
        scale: A prior deviation of each tap, (length,).
    """

    def __init__(self, x: Tensor, scale: Tensor) -> None:
        self.x, self.scale = x, scale

    def __call__(self, x: Tensor) -> Tensor:
        y = convolved(self.x, x * self.scale)
        return _without_start(y, len(self.scale))

    def adjoint(self, y: Tensor) -> Tensor:
        inside = _without_start(y, len(self.scale))
        each = correlated(inside, self.x, len(self.scale))
        return each.sum(1, keepdim=True) * self.scale


def reverberation(taps: Tensor) -> Damage:
    """The response of a room, taps (channels, length): of one window after the other, the dry sound
    of those before says what still sounds of them.
    """
    if taps.ndim != 2:
        raise InputError(f"A response is (channels, taps), not {tuple(taps.shape)}.")

    def heard(y: Tensor, place: Place) -> tuple[Tensor, Operator]:
        rows = taps.repeat(len(y) // len(taps), 1)[:, None].to(y)
        operator = Reverberation(rows, frames=place.frames)
        if place.past is None:
            return operator.within(y), operator
        # What is still heard of the sound before this window.
        silence = torch.zeros_like(y)
        tail = convolved(torch.cat([place.past, silence], -1), rows)[..., -y.shape[-1] :]
        return operator.within(y - tail), operator

    return Damage(heard, least=1e-3)


def convolved(x: Tensor, taps: Tensor) -> Tensor:
    """x (..., samples) convolved with taps (..., length), as long as x."""
    length = x.shape[-1] + taps.shape[-1]
    product = torch.fft.rfft(x, length) * torch.fft.rfft(taps, length)
    out: Tensor = torch.fft.irfft(product, length)[..., : x.shape[-1]]
    return out


def correlated(y: Tensor, x: Tensor, length: int) -> Tensor:
    """sum_t y_t x_(t-k) of k = 0 to length - 1, the adjoint of either factor of ``convolved``."""
    longest = 2 * max(y.shape[-1], x.shape[-1])
    product = torch.fft.rfft(y, longest) * torch.fft.rfft(x, longest).conj()
    out: Tensor = torch.fft.irfft(product, longest)[..., :length]
    return out


def _without_start(y: Tensor, length: int) -> Tensor:
    """y with zeros where a response of that length reaches out of the window."""
    keep = torch.ones(y.shape[-1], dtype=y.dtype, device=y.device)
    keep[: length - 1] = 0
    return y * keep
