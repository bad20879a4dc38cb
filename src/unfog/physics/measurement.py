r"""Measurements that need not be linear: y = h(x), differentiable almost everywhere, for methods
that ask for no adjoint. Every linear ``Operator`` is one.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.physics.fourier import Fourier, to_complex
from unfog.physics.linear import Operator


class Measurement(Protocol):
    """A measurement y = h(x), (batch, channels, *space) to any shape of the batch."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


def pullback(measurement: Measurement, x: Tensor, v: Tensor) -> Tensor:
    """The vector-Jacobian product J_h(x)* v, which is A* v where h is linear.

    Args:
        measurement: h.
        x: (batch, channels, *space).
        v: shaped as h(x).

    Returns:
        As x.
    """
    if isinstance(measurement, Operator):
        return measurement.adjoint(v)
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        (product,) = torch.autograd.grad(measurement(point), point, v)
    return product


class PhaseRetrieval:
    """Phase retrieval, |F x|: the magnitude of the orthonormal Fourier transform of a complex
    image (pairs of channels) padded ``oversampling`` times.
    """

    def __init__(self, oversampling: int = 2) -> None:
        if oversampling < 1:
            raise InputError(
                f"The oversampling of a phase retrieval is 1 or more, got {oversampling}."
            )
        self.oversampling, self.fourier = oversampling, Fourier()

    def __call__(self, x: Tensor) -> Tensor:
        padding = [n * (self.oversampling - 1) for n in x.shape[:1:-1]]
        padded = torch.nn.functional.pad(x, [v for n in padding for v in (n // 2, n - n // 2)])
        z = to_complex(self.fourier(padded))
        return (z.real**2 + z.imag**2 + torch.finfo(x.dtype).tiny).sqrt()  # with a slope at 0 too


class Quantise:
    """Quantisation: values rounded to multiples of ``step``. Rounding has no slope, so the
    gradient passes straight through (Bengio et al. 2013).
    """

    def __init__(self, step: float) -> None:
        if not step > 0:
            raise InputError(f"The step of a quantisation is above zero, got {step}.")
        self.step = step

    def __call__(self, x: Tensor) -> Tensor:
        return x + ((x / self.step).round() * self.step - x).detach()


class BlockCosine:
    """JPEG's loss: the cosine transform of 8 x 8 blocks, each coefficient rounded to a multiple of
    its own step, and back. The entropy coding, which loses nothing, is left out.

    Frequency (i, j) has the step ``step`` (1 + (i + j) ``growth``); ``step`` is that of the mean of
    a block.
    """

    def __init__(self, step: float, growth: float = 0.5) -> None:
        place = torch.arange(8, dtype=torch.float64)
        cosine = torch.cos(math.pi * (2 * place[None] + 1) * place[:, None] / 16) / 2
        cosine[0] /= math.sqrt(2)
        self.cosine, self.quantise = cosine, Quantise(1.0)
        if not step > 0 or not growth >= 0:
            raise InputError(
                "The step of a block transform is above zero and its growth not below it, got "
                f"{step} and {growth}."
            )
        self.steps = step * (1 + growth * (place[:, None] + place[None]))

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[2] % 8 or x.shape[3] % 8:
            raise InputError(
                f"The blocks of JPEG are 8 x 8, and an image of {tuple(x.shape[2:])} does not "
                "divide by them."
            )
        blocks = x.reshape(*x.shape[:2], x.shape[2] // 8, 8, x.shape[3] // 8, 8)
        # C B C^T of each block B, rounded, and back.
        cosine, steps = self.cosine.to(x), self.steps.to(x)
        coefficients = torch.einsum("ui,bcrisj,vj->bcrsuv", cosine, blocks, cosine)
        rounded = self.quantise(coefficients / steps) * steps
        return torch.einsum("ui,bcrsuv,vj->bcrisj", cosine, rounded, cosine).reshape(x.shape)
