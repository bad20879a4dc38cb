r"""Measurements of clips along time: fewer frames, and frames that last longer."""

from __future__ import annotations

from torch import Tensor

from unfog.errors import InputError
from unfog.physics.registry import operators
from unfog.physics.spectral import Tight


@operators.register("frames")
class EveryFrame(Tight):
    """Every ``factor``-th frame, from the first on: y has these alone. Its restoration is
    super-resolution in time.

    Args:
        factor: 1 or more.
        frames: Of a clip.
    """

    def __init__(self, factor: int, frames: int) -> None:
        if not 1 <= factor < frames:
            raise InputError(
                f"Every so many-th frame is kept, 1 to {frames - 1} of {frames}, not {factor}."
            )
        self.factor, self.frames = factor, frames

    def __call__(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.factor]

    def adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros(*y.shape[:2], self.frames, *y.shape[3:])
        x[:, :, :: self.factor] = y
        return x


@operators.register("exposure-time")
class FrameAverage(Tight):
    """Frames that last ``factor`` times as long: y is the mean of so many neighbours, with the blur
    of what moves meanwhile.

    Args:
        factor: 2 or more; it divides the frames.
    """

    def __init__(self, factor: int) -> None:
        if factor < 2:
            raise InputError(f"Frames are averaged by 2 or more, not {factor}.")
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[2] % self.factor:
            raise InputError(f"{x.shape[2]} frames do not divide by the factor {self.factor}.")
        batch, channels, _, *space = x.shape
        return x.reshape(batch, channels, -1, self.factor, *space).mean(3)

    def adjoint(self, y: Tensor) -> Tensor:
        return y.repeat_interleave(self.factor, 2) / self.factor

    def gain(self, y: Tensor) -> float:
        return 1 / self.factor
