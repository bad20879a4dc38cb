r"""Any torch function as a measurement: its adjoint by autograd, checked for linearity.

<A x, y> = <x, A* y>   =>   A* y = d <A x, y> / d x,   a vector-Jacobian product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.physics.linear import Adopted, Operator

Function = Callable[[Tensor], Tensor]
TOLERANCE = 1e-4  # relative, of A(a + 2 b) against A(a) + 2 A(b) in float32


class FunctionOperator(Operator):
    """A linear function of x as an operator.

    Args:
        function: Of x (batch, channels, *space), differentiable by torch.
        shape: Of one x, (channels, *space).
    """

    def __init__(self, function: Function, shape: Sequence[int]) -> None:
        self.function, self.shape = function, tuple(shape)

    def __call__(self, x: Tensor) -> Tensor:
        return self.function(x)

    def adjoint(self, y: Tensor) -> Tensor:
        with torch.enable_grad():
            x = torch.zeros(len(y), *self.shape, dtype=y.dtype, device=y.device).requires_grad_()
            (product,) = torch.autograd.grad(self.function(x), x, y)
        return product


def is_linear(function: Function, shape: Sequence[int]) -> bool:
    """Whether A(a + 2 b) = A(a) + 2 A(b) for random a and b (2, *shape), in float32."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, *shape, generator=generator) for _ in range(2))
    with torch.no_grad():
        left, right = function(a + 2 * b), function(a) + 2 * function(b)
    return float((left - right).norm()) <= TOLERANCE * float(right.norm())


def as_operator(a: object, shape: Sequence[int]) -> Operator:
    """A as an ``Operator``.

    Args:
        a: An ``Operator``; an operator of deepinv's kind; or a linear function of x that torch can
            differentiate.
        shape: Of one x, (channels, *space).

    Returns:
        The operator.

    Raises:
        InputError: ``a`` is none of these, does not take x of this shape, or is not linear.
    """
    if isinstance(a, Operator):
        return a
    if callable(getattr(a, "A_adjoint", None)):
        return Adopted(a)  # type: ignore[arg-type]
    if not callable(a):
        raise InputError(
            "A is an Operator, an operator of deepinv or a function of x, not a "
            f"{type(a).__name__}."
        )
    require_takes(a, shape)
    if not is_linear(a, shape):
        raise InputError(
            "A is not linear: A(a + 2 b) differs from A(a) + 2 A(b); take a constant out of it, or "
            "give method='dps', which takes any function that torch can differentiate."
        )
    return FunctionOperator(a, shape)


def require_takes(function: Function, shape: Sequence[int]) -> None:
    """``InputError`` unless ``function`` takes x (2, *shape) and gives a measurement of each."""
    try:
        y = function(torch.zeros(2, *shape).requires_grad_())
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"A fails on x of shape (images, {', '.join(map(str, shape))}): "
            f"{str(error).rstrip('.')}."
        ) from error
    if not isinstance(y, Tensor) or y.ndim < 2 or len(y) != 2:
        raise InputError(
            "A gives one measurement an image, (images, ...), as a tensor; this one does not."
        )
    if not y.requires_grad:
        raise InputError(
            "A has no gradient: write it in torch's functions, without numpy, detach or no_grad."
        )
