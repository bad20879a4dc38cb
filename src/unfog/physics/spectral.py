r"""Operators with a known spectrum of A A*: their solves and filters are closed forms."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from unfog.core.shapes import expand
from unfog.physics.linear import Filter, Operator, inverse


class Spectral(Operator):
    """An operator with a closed form of A* f(A A*) y: the pseudo-inverse is that of f = 1/e (0
    where e is), Tikhonov's that of f = 1/(e + w).
    """

    @abstractmethod
    def filtered(self, function: Filter, y: Tensor) -> Tensor:
        """A* f(A A*) y."""

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        return self.filtered(inverse, y)

    def tikhonov(self, y: Tensor, weight: Tensor) -> Tensor:
        weight = torch.as_tensor(weight)
        return self.filtered(
            lambda e: 1 / (e + expand(weight, y)) if bool((weight > 0).all()) else inverse(e), y
        )


class Tight(Spectral):
    """A tight operator, A A* A = c A: every singular value is sqrt(c) or 0. Such are masks,
    averages of blocks and weighted sums.
    """

    def gain(self, y: Tensor) -> float:
        """c, for measurements shaped as y."""
        return 1.0

    def filtered(self, function: Filter, y: Tensor) -> Tensor:
        e = torch.full((1,) * y.ndim, self.gain(y), dtype=y.dtype, device=y.device)
        return self.adjoint(y * function(e))
