r"""The Lanczos process: f(C) z for a symmetric C of which only products are available (Lanczos
1950; Chow & Saad 2014, for noise).

m products span the Krylov space of z, in whose orthonormal basis V, V_1 = z / |z|, C is a small
tridiagonal T, so that

    f(C) z ~ |z| V f(T) e_1 = p(C) z,
    p the polynomial of degree m - 1 that is f at the eigenvalues of T,

exact where z has a part in at most m distinct eigenspaces of C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unfog.core.shapes import expand, sum_per_sample

Product = Callable[[Tensor], Tensor]
Function = Callable[[Tensor], Tensor]  # of eigenvalues, taken as at least 0


def function_times(product: Product, z: Tensor, function: Function, products: int) -> Tensor:
    """f(C) z ~ |z| V f(T) e_1 for each sample. Where f^2 is linear, |f(C) z| is exact for any
    number of products: noise has the right power.

    Args:
        product: v -> C v, of shapes as z.
        z: (batch, channels, *space).
        function: f of eigenvalues, which are taken as at least 0.
        products: m, calls of ``product``.

    Returns:
        (batch, channels, *space).
    """
    basis, small, norm = _tridiagonal(product, z, products)
    # f(T) e_1 |z|, by the eigendecomposition of T.
    eigenvalues, vectors = torch.linalg.eigh(small)
    weights = (vectors @ (function(eigenvalues.clamp(min=0)) * vectors[:, 0])[..., None])[
        ..., 0
    ] * norm[:, None]
    return sum(
        (expand(w, z) * v for w, v in zip(weights.unbind(1), basis, strict=True)),
        torch.zeros_like(z),
    )


def function_of(
    product: Product, probes: Sequence[Tensor], function: Function, products: int
) -> Product:
    """z -> p(C) z with one polynomial p for all z, of ``products`` - 1 products a call.

    The last product serves T alone. White noise in many dimensions sees the same spectrum,
    whichever it is (Ubaru et al. 2017), so one p, from a few of them together, does for all.

    Args:
        product: v -> C v.
        probes: white noise, each (batch, channels, *space), in whose joint Krylov space p is found.
        function: f of eigenvalues, which are taken as at least 0.
        products: m, calls of ``product`` for each probe here; p is of degree m - 1.

    Returns:
        z -> p(C) z, (batch, channels, *space) both.
    """

    def of_all(v: Tensor) -> Tensor:
        return torch.stack([product(probe) for probe in v[0]])[None]

    # T of C in block-diagonal copies, all probes as one vector.
    _, small, _ = _tridiagonal(of_all, torch.stack(list(probes))[None], products)
    # p in Newton's form at the eigenvalues of T, evaluated by Horner's rule.
    at = torch.linalg.eigvalsh(small[0]).clamp(min=0)
    (first, *others), (_, *centres) = (
        _newton(at, function(at)).flip(0).tolist(),
        at.flip(0).tolist(),
    )

    def times(z: Tensor) -> Tensor:
        value: Tensor = first * z
        for coefficient, centre in zip(others, centres, strict=True):
            value = product(value) - centre * value + coefficient * z
        return value

    return times


def _newton(at: Tensor, values: Tensor) -> Tensor:
    """Newton's divided differences of ``values`` (m,) at the points ``at`` (m,), ascending; 0
    between points that coincide.
    """
    differences = values.clone()
    for k in range(1, len(at)):
        gap = at[k:] - at[:-k]
        apart = gap > 1e-9 * at[-1]
        differences[k:] = torch.where(
            apart, (differences[k:] - differences[k - 1 : -1]) / torch.where(apart, gap, 1.0), 0.0
        )
    return differences


def _tridiagonal(product: Product, z: Tensor, products: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """The basis V, T (batch, m, m) in float64, and |z| (batch,)."""
    tiny = torch.finfo(z.dtype).tiny
    norm = sum_per_sample(z**2).sqrt()
    basis, diagonal, off_diagonal = [z / expand(norm.clamp(min=tiny), z)], [], []
    # Lanczos with full reorthogonalisation.
    for k in range(min(products, z[0].numel())):
        image = product(basis[k])
        diagonal.append(sum_per_sample(basis[k] * image))
        if k + 1 < min(products, z[0].numel()):
            # Gram-Schmidt, twice: once does not keep the basis orthogonal in floating point.
            for _ in range(2):
                for v in basis:
                    image = image - expand(sum_per_sample(v * image), image) * v
            off_diagonal.append(sum_per_sample(image**2).sqrt())
            basis.append(image / expand(off_diagonal[-1].clamp(min=tiny), image))
    side = torch.stack(off_diagonal, 1) if off_diagonal else norm.new_zeros(len(norm), 0)
    small = (
        torch.diag_embed(torch.stack(diagonal, 1))
        + torch.diag_embed(side, 1)
        + torch.diag_embed(side, -1)
    )
    return basis, small.double(), norm
