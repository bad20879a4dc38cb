r"""Linear measurements y = A x, with their adjoint A*, and what posterior methods ask of them.

    <A x, y> = <x, A* y>,     pseudo-inverse A+ y: the x of least norm with A x nearest to y,
    Tikhonov (A* A + w)^{-1} A* y: the x of least |A x - y|^2 + w |x|^2,
    filtered A* f(A A*) y, both of these for f = 1/e and 1/(e + w).

An operator needs A and A* alone: the solves fall back on conjugate gradients for least squares
(Hestenes & Stiefel 1952), within their tolerance, and the filter on a dense eigendecomposition of A
A*. Those that know their spectrum (``spectral``) answer all three in closed form. ``A @ B`` is A
after B. Shapes are (batch, channels, *space).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from unfog.core.shapes import expand, sum_per_sample
from unfog.errors import InputError

# Eigenvalues of A A*, shaped to multiply y, to numbers shaped so
Filter = Callable[[Tensor], Tensor]
DENSE_LIMIT = 4096  # measured values whose spectrum is found by a dense eigendecomposition


class Operator(ABC):
    """y = A x."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A* y."""

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """A+ y: the x of least norm with A x nearest to y."""
        return self.tikhonov(y, torch.zeros(()))

    def tikhonov(self, y: Tensor, weight: Tensor) -> Tensor:
        """(A* A + w)^{-1} A* y, with w >= 0 a scalar or (batch,)."""
        return conjugate_gradients(self, y, weight)

    def filtered(self, function: Filter, y: Tensor) -> Tensor:
        """A* f(A A*) y; here by a dense eigendecomposition, so for small measurements."""
        eigenvalues, vectors = self._dense(y)
        coefficients = (y.flatten(1) @ vectors).view(y.shape) * function(
            eigenvalues.view(1, *y.shape[1:])
        )
        return self.adjoint((coefficients.flatten(1) @ vectors.T).view(y.shape))

    def of(self, rows: Sequence[int] | Tensor) -> Operator:
        """The operator for some images of a stack, by number or mask: itself, where it is one for
        all.
        """
        return self

    def __matmul__(self, inner: Operator) -> Composition:
        return Composition(self, inner)

    def _dense(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Eigenvalues (m,) and eigenvectors (m, m) of A A*, kept for the next call."""
        m, kept = y[0].numel(), vars(self).setdefault("_spectra", {})
        if m > DENSE_LIMIT:
            raise InputError(
                f"The singular values of {type(self).__name__} with {m} measured values are not "
                "known in closed form and are too many to "
                f"compute (at most {DENSE_LIMIT}); take a method that does without them, such as "
                "mmps or diffpir."
            )
        if y.shape[1:] not in kept:
            axes = torch.eye(m, dtype=torch.float64, device=y.device).view(m, *y.shape[1:])
            gram = self(self.adjoint(axes)).flatten(1)
            eigenvalues, vectors = torch.linalg.eigh((gram + gram.T) / 2)
            kept[y.shape[1:]] = eigenvalues.clamp(min=0), vectors
        eigenvalues, vectors = kept[y.shape[1:]]
        return eigenvalues.to(y), vectors.to(y)


class Composition(Operator):
    """A B: ``outer`` after ``inner``."""

    def __init__(self, outer: Operator, inner: Operator) -> None:
        self.outer, self.inner = outer, inner

    def __call__(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))

    def of(self, rows: Sequence[int] | Tensor) -> Operator:
        return Composition(self.outer.of(rows), self.inner.of(rows))


class LinearPhysics(Protocol):
    """What is asked of an operator of the library deepinv."""

    def A(self, x: Tensor, **parameters: Any) -> Tensor: ...

    def A_adjoint(self, y: Tensor, **parameters: Any) -> Tensor: ...

    def A_dagger(self, y: Tensor, **parameters: Any) -> Tensor: ...


class Adopted(Operator):
    """An operator of deepinv's kind: ``A``, ``A_adjoint`` and ``A_dagger``."""

    def __init__(self, physics: LinearPhysics) -> None:
        missing = [
            name
            for name in ("A", "A_adjoint", "A_dagger")
            if not callable(getattr(physics, name, None))
        ]
        if missing:
            raise InputError(
                f"{type(physics).__name__} is no linear operator: it lacks {', '.join(missing)}."
            )
        self.physics = physics

    def __call__(self, x: Tensor) -> Tensor:
        return self.physics.A(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.physics.A_adjoint(y)

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        return self.physics.A_dagger(y)


def inverse(eigenvalues: Tensor) -> Tensor:
    """1 / e, and 0 where e is 0 up to rounding: the filter of the pseudo-inverse."""
    least = 100 * torch.finfo(eigenvalues.dtype).eps * eigenvalues.max()
    return torch.where(
        eigenvalues > least, 1 / eigenvalues.clamp(min=torch.finfo(eigenvalues.dtype).tiny), 0.0
    )


def gram_function(operator: Operator, function: Filter, x: Tensor) -> Tensor:
    """f(A* A) x, as f(0) x + A* h(A A*) A x with h(e) = (f(e) - f(0)) / e."""
    at_zero = function(torch.zeros((1,) * x.ndim, dtype=x.dtype, device=x.device))
    return at_zero * x + operator.filtered(
        lambda e: (function(e) - at_zero) * inverse(e), operator(x)
    )


def conjugate_gradients(
    operator: Operator, y: Tensor, weight: Tensor, iterations: int = 200, tolerance: float = 1e-6
) -> Tensor:
    """(A* A + w)^{-1} A* y per sample, until the gradient A* (y - A x) - w x is ``tolerance`` of
    its first.
    """
    x = torch.zeros_like(operator.adjoint(y))
    w, residual = expand(torch.as_tensor(weight), x), y
    direction = gradient = operator.adjoint(y)
    power = sum_per_sample(gradient**2)
    tiny, enough = torch.finfo(power.dtype).tiny, tolerance**2 * power
    for _ in range(iterations):
        going = power > enough
        if not bool(going.any()):
            break
        seen = operator(direction)
        curvature = sum_per_sample(seen**2) + sum_per_sample(w * direction**2)
        step = torch.where(going, power / curvature.clamp(min=tiny), 0.0)
        x = x + expand(step, x) * direction
        residual = residual - expand(step, residual) * seen
        gradient = operator.adjoint(residual) - w * x
        before, power = power, sum_per_sample(gradient**2)
        direction = gradient + expand(power / before.clamp(min=tiny), x) * direction
    return x


def adjoint_error(
    operator: Operator,
    shape: Sequence[int],
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> float:
    """|<A x, y> - <x, A* y>| relative to |A x| |y|, for random x and y."""
    x = torch.randn(tuple(shape), generator=generator, dtype=dtype)
    ax = operator(x)
    y = torch.randn(ax.shape, generator=generator, dtype=dtype)
    back = operator.adjoint(y)
    if back.shape != x.shape:
        raise InputError(
            f"The adjoint of {type(operator).__name__} gives {tuple(back.shape)} where the "
            f"operator takes {tuple(shape)}."
        )
    gap = (ax.double() * y.double()).sum() - (x.double() * back.double()).sum()
    return float(gap.abs() / (ax.norm() * y.norm()).clamp(min=torch.finfo(dtype).tiny))


def require_adjoint(operator: Operator, shape: Sequence[int], tolerance: float = 1e-5) -> None:
    """The self-test: ``InputError`` unless <A x, y> = <x, A* y> to ``tolerance`` on x of ``shape``,
    in float32.
    """
    error = adjoint_error(operator, shape, torch.Generator().manual_seed(0), torch.float32)
    if not error <= tolerance:  # so that nan fails
        raise InputError(
            f"The adjoint of {type(operator).__name__} is not its transpose: <A x, y> and <x, A* "
            f"y> differ by {error:.1e} of |A x| |y|, "
            f"above {tolerance:.0e}; mend its adjoint."
        )
