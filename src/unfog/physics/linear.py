r"""Linear measurements y = A x, with their adjoint A*, and what posterior methods ask of them.

An operator needs A and A* alone: the solves fall back on conjugate gradients for least squares,
within their tolerance, and the filter on a dense eigendecomposition of A A*. Those with a spectrum
in closed form (``spectral``) answer all in closed form. ``A @ B`` is A after B. Shapes are (batch,
channels, *space).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from unfog.core.shapes import expand, sum_per_sample
from unfog.errors import InputError

Filter = Callable[[Tensor], Tensor]  # f(e) of eigenvalues e of A A*, both shaped to multiply y
DENSE_LIMIT = 4096  # measured values at most for a dense eigendecomposition


class Operator(ABC):
    """A linear operator A with <A x, y> = <x, A* y>, and three functions of it:

        pseudo-inverse  A+ y,                  the x of least norm with A x nearest to y,
        Tikhonov        (A* A + w)^{-1} A* y,  the x of least |A x - y|^2 + w |x|^2,
        filtered        A* f(A A*) y,          both of these for f = 1/e and 1/(e + w).

    A subclass gives A and A*, and the three where it has them in closed form.
    """

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
        m, spectra = y[0].numel(), vars(self).setdefault("_spectra", {})
        if m > DENSE_LIMIT:
            raise InputError(
                f"The singular values of {type(self).__name__} with {m} measured values are not "
                "known in closed form and are too many to "
                f"compute (at most {DENSE_LIMIT}); take a method that does without them, such as "
                "mmps or diffpir."
            )
        if y.shape[1:] not in spectra:
            # A A* of the unit vectors.
            axes = torch.eye(m, dtype=torch.float64, device=y.device).view(m, *y.shape[1:])
            gram = self(self.adjoint(axes)).flatten(1)
            eigenvalues, vectors = torch.linalg.eigh((gram + gram.T) / 2)
            spectra[y.shape[1:]] = eigenvalues.clamp(min=0), vectors
        eigenvalues, vectors = spectra[y.shape[1:]]
        return eigenvalues.to(y), vectors.to(y)


class Composition(Operator):
    """The composition A B: ``outer`` after ``inner``."""

    def __init__(self, outer: Operator, inner: Operator) -> None:
        self.outer, self.inner = outer, inner

    def __call__(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))

    def of(self, rows: Sequence[int] | Tensor) -> Operator:
        return Composition(self.outer.of(rows), self.inner.of(rows))


class LinearPhysics(Protocol):
    """The interface of a linear operator of the library deepinv."""

    def A(self, x: Tensor, **parameters: Any) -> Tensor: ...

    def A_adjoint(self, y: Tensor, **parameters: Any) -> Tensor: ...

    def A_dagger(self, y: Tensor, **parameters: Any) -> Tensor: ...


class Adopted(Operator):
    """An operator of deepinv (``A``, ``A_adjoint`` and ``A_dagger``) as an ``Operator``."""

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
    """f(A* A) x, as f(0) x + A* h(A A*) A x with h(e) = (f(e) - f(0)) / e.

    Args:
        operator: A, whose spectrum is needed.
        function: f of the eigenvalues.
        x: (batch, channels, *space).

    Returns:
        As x.
    """
    at_zero = function(torch.zeros((1,) * x.ndim, dtype=x.dtype, device=x.device))
    return at_zero * x + operator.filtered(
        lambda e: (function(e) - at_zero) * inverse(e), operator(x)
    )


def conjugate_gradients(
    operator: Operator, y: Tensor, weight: Tensor, iterations: int = 200, tolerance: float = 1e-6
) -> Tensor:
    """(A* A + w)^{-1} A* y by conjugate gradients for least squares (Hestenes & Stiefel 1952), per
    sample.

    Args:
        operator: A.
        y: (batch, ...).
        weight: w, 0 or more, a scalar or (batch,).
        iterations: at most.
        tolerance: the gradient A* (y - A x) - w x to stop at, as a share of the first.

    Returns:
        x, (batch, channels, *space).
    """
    x = torch.zeros_like(operator.adjoint(y))
    w, residual = expand(torch.as_tensor(weight), x), y
    direction = gradient = operator.adjoint(y)
    power = sum_per_sample(gradient**2)
    tiny, enough = torch.finfo(power.dtype).tiny, tolerance**2 * power
    for _ in range(iterations):
        active = power > enough
        if not bool(active.any()):
            break
        # Step along the direction to the minimum.
        image = operator(direction)
        curvature = sum_per_sample(image**2) + sum_per_sample(w * direction**2)
        step = torch.where(active, power / curvature.clamp(min=tiny), 0.0)
        x = x + expand(step, x) * direction
        residual = residual - expand(step, residual) * image
        # The next direction, conjugate to the last.
        gradient = operator.adjoint(residual) - w * x
        last_power, power = power, sum_per_sample(gradient**2)
        direction = gradient + expand(power / last_power.clamp(min=tiny), x) * direction
    return x


def adjoint_error(
    operator: Operator,
    shape: Sequence[int],
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> float:
    """|<A x, y> - <x, A* y>| relative to |A x| |y|, for random x and y.

    Args:
        operator: A.
        shape: of x.
        generator: of x and y.
        dtype: of x and y.

    Returns:
        The error.

    Raises:
        InputError: where A* y is not shaped as x.
    """
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
    """The self-test of an operator in float32.

    Args:
        operator: A.
        shape: of x.
        tolerance: the largest ``adjoint_error`` allowed.

    Raises:
        InputError: unless <A x, y> = <x, A* y> to ``tolerance``.
    """
    error = adjoint_error(operator, shape, torch.Generator().manual_seed(0), torch.float32)
    if not error <= tolerance:  # so that nan fails
        raise InputError(
            f"The adjoint of {type(operator).__name__} is not its transpose: <A x, y> and <x, A* "
            f"y> differ by {error:.1e} of |A x| |y|, "
            f"above {tolerance:.0e}; mend its adjoint."
        )
