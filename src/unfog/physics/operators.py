r"""Linear measurement operators A, with their adjoint A* and pseudo-inverse A+.

Each obeys <A x, y> = <x, A* y> and A A+ A = A; ``adjoint_error`` measures the first for any operator.
Shapes are (batch, channels, *space).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.errors import InputError


class Operator(ABC):
    """y = A x."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A* y."""

    @abstractmethod
    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """A+ y: the x of least norm with A x nearest to y."""


class Identity(Operator):
    """Every value is measured: denoising."""

    def __call__(self, x: Tensor) -> Tensor:
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        return y

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        return y


class Mask(Operator):
    """Values are measured where ``mask`` is True, and y is zero elsewhere: inpainting."""

    def __init__(self, mask: Tensor) -> None:
        if not bool(mask.any()):
            raise InputError("The mask measures nothing: it needs at least one value that is kept.")
        self.mask = mask.bool()

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.mask.to(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return y * self.mask.to(y)

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        return y * self.mask.to(y)


class BlockAverage(Operator):
    """The mean of blocks of ``factor`` values along every spatial axis: super-resolution."""

    def __init__(self, factor: int) -> None:
        if factor < 2:
            raise InputError(f"A super-resolution factor is 2 or more, got {factor}.")
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        space = x.shape[2:]
        if any(n % self.factor for n in space):
            raise InputError(f"Sizes {tuple(space)} do not divide by the factor {self.factor}.")
        blocks = x.reshape(*x.shape[:2], *(v for n in space for v in (n // self.factor, self.factor)))
        return blocks.mean(tuple(range(3, blocks.ndim, 2)))

    def adjoint(self, y: Tensor) -> Tensor:
        share: float = self.factor ** -(y.ndim - 2)
        return self.pseudo_inverse(y) * share

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        for axis in range(2, y.ndim):
            y = y.repeat_interleave(self.factor, axis)
        return y


def adjoint_error(operator: Operator, shape: Sequence[int], generator: torch.Generator, dtype: torch.dtype = torch.float64) -> float:
    """|<A x, y> - <x, A* y>| relative to |A x| |y|, for random x and y."""
    x = torch.randn(tuple(shape), generator=generator, dtype=dtype)
    ax = operator(x)
    y = torch.randn(ax.shape, generator=generator, dtype=dtype)
    gap = (ax * y).sum() - (x * operator.adjoint(y)).sum()
    return float(gap.abs() / (ax.norm() * y.norm()))
