r"""Exposure: y = f x + m, the measurement of low light, whose parameters can be estimated (Fei et al. 2023).

Affine: with both known, ``y - m`` is what the linear ``Gain(f)`` measures. Given an estimate of x, f and m are a line's slope and height,

    f = cov(x, y) / var(x),     m = mean(y) - f mean(x)          of each sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.shapes import expand, mean_per_sample
from unfog.errors import InputError
from unfog.physics.spectral import Tight


class Gain(Tight):
    """f x with one number f."""

    def __init__(self, factor: float) -> None:
        if not factor > 0:
            raise InputError(f"The factor of an exposure is above zero, got {factor}.")
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        return self.factor * x

    def adjoint(self, y: Tensor) -> Tensor:
        return self.factor * y

    def gain(self, y: Tensor) -> float:
        return self.factor**2


class Exposure:
    """f x + m: f and m scalars, (batch,), or m of the image's own shape."""

    def __init__(self, factor: Tensor, offset: Tensor) -> None:
        if not bool((factor > 0).all()) or not bool(factor.isfinite().all() & offset.isfinite().all()):
            raise InputError("The factor of an exposure is finite and above zero, and its offset finite.")
        self.factor, self.offset = factor, offset

    @classmethod
    def fitted(cls, x: Tensor, y: Tensor) -> Exposure:
        """The line through (x, y) of least squares, for each sample."""
        mean_x, mean_y = mean_per_sample(x), mean_per_sample(y)
        centred = x - expand(mean_x, x)
        spread = mean_per_sample(centred**2)
        if not bool((spread > 0).all()):
            raise InputError("An exposure cannot be estimated from a constant image.")
        factor = (mean_per_sample(centred * y) / spread).clamp(min=torch.finfo(x.dtype).tiny)
        return cls(factor, mean_y - factor * mean_x)

    def __call__(self, x: Tensor) -> Tensor:
        offset = self.offset if self.offset.ndim > 1 else expand(self.offset, x)
        return expand(self.factor, x) * x + offset.to(x)
