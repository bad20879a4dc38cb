r"""The simplest operators, whose spectra are known (``spectral``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.physics.linear import Filter, Operator
from unfog.physics.spectral import Spectral, Tight


class Identity(Tight):
    """Denoising: every value is measured, y = x."""

    def __call__(self, x: Tensor) -> Tensor:
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        return y


class Mask(Tight):
    """Inpainting: values are measured where ``mask`` is True, and y is zero elsewhere."""

    def __init__(self, mask: Tensor) -> None:
        if not bool(mask.any()):
            raise InputError("The mask measures nothing: it needs at least one value that is kept.")
        self.mask = mask.bool()

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.mask.to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return y * self.mask.to(y)

    def of(self, rows: Sequence[int] | Tensor) -> Operator:
        return Mask(self.mask[rows]) if len(self.mask) > 1 else self


class Weights(Spectral):
    """A diagonal operator, every value times a number that is not negative: 1 / deviation makes
    noise white that differs from value to value.
    """

    def __init__(self, weights: Tensor) -> None:
        if not bool(weights.isfinite().all() & (weights >= 0).all()) or not bool(weights.any()):
            raise InputError(
                "Weights are finite numbers, none of them below zero and not all of them zero."
            )
        self.weights = weights

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.weights.to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return y * self.weights.to(y)

    def filtered(self, function: Filter, y: Tensor) -> Tensor:
        return self.adjoint(function(self.weights.to(y) ** 2) * y)


class Points(Tight):
    """Inpainting without the holes: values are measured at the points of space where ``mask``
    (*space) is True, and y (batch, channels, points) holds no others. For what is fitted to a
    measurement: a ``Mask`` has zeros where nothing was measured, which a fit would take for values.
    """

    def __init__(self, mask: Tensor) -> None:
        if not bool(mask.any()):
            raise InputError("The mask measures nothing: it needs at least one point that is kept.")
        self.mask = mask.bool()

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[2:] != self.mask.shape:
            raise InputError(
                f"The mask is {tuple(self.mask.shape)} and the image {tuple(x.shape[2:])}; make "
                "the mask on the image's grid."
            )
        return x[..., self.mask]

    def adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros(*y.shape[:2], *self.mask.shape)
        x[..., self.mask] = y
        return x


class Channels(Tight):
    """Some of the channels, such as a subset of a scan's gradient directions; y has these channels
    only. ``kept`` are distinct channels of ``count``.
    """

    def __init__(self, kept: Sequence[int], count: int) -> None:
        if not kept or len(set(kept)) < len(kept) or not all(0 <= i < count for i in kept):
            raise InputError(
                f"The measured channels are some distinct numbers from 0 to {count - 1}, got "
                f"{list(kept)}."
            )
        self.kept, self.count = list(kept), count

    def __call__(self, x: Tensor) -> Tensor:
        return x[:, self.kept]

    def adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros(len(y), self.count, *y.shape[2:])
        x[:, self.kept] = y
        return x


class Grey(Tight):
    """Colourisation: y is a weighted sum of the channels, by default the luma of ITU-R BT.601."""

    def __init__(self, weights: Sequence[float] = (0.299, 0.587, 0.114)) -> None:
        if not any(weights):
            raise InputError("The weights of the colours are all zero, which measures nothing.")
        self.weights = torch.tensor(weights, dtype=torch.float64)

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[1] != len(self.weights):
            raise InputError(f"Grey takes {len(self.weights)} channels, got {x.shape[1]}.")
        return torch.einsum("c,bc...->b...", self.weights.to(x), x)[:, None]

    def adjoint(self, y: Tensor) -> Tensor:
        return y * self.weights.to(y).view(-1, *(1,) * (y.ndim - 2))

    def gain(self, y: Tensor) -> float:
        return float(self.weights.square().sum())


class BlockAverage(Tight):
    """Super-resolution: y is the mean of blocks of ``factor`` values along every spatial axis."""

    def __init__(self, factor: int) -> None:
        if factor < 2:
            raise InputError(f"A super-resolution factor is 2 or more, got {factor}.")
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        space = x.shape[2:]
        if any(n % self.factor for n in space):
            raise InputError(f"Sizes {tuple(space)} do not divide by the factor {self.factor}.")
        blocks = x.reshape(
            *x.shape[:2], *(v for n in space for v in (n // self.factor, self.factor))
        )
        return blocks.mean(tuple(range(3, blocks.ndim, 2)))

    def adjoint(self, y: Tensor) -> Tensor:
        for axis in range(2, y.ndim):
            y = y.repeat_interleave(self.factor, axis)
        return y * self.gain(y)

    def gain(self, y: Tensor) -> float:
        return float(self.factor ** -(y.ndim - 2))
