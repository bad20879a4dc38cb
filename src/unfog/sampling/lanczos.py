r"""The Lanczos process: f(C) z for a symmetric C that is known by its products alone (Lanczos 1950;
Chow & Saad 2014, for noise).

m products span the Krylov space of z, in whose orthonormal basis V, V_1 = z / |z|, C is a small
tridiagonal T, so that

    f(C) z ~ |z| V f(T) e_1 = p(C) z,
    p the polynomial of degree m - 1 that is f at the eigenvalues of T,

exact where z sees at most m distinct eigenvalues of C. Where f^2 is linear, |f(C) z| is exact for
any m: noise has the right power.

The last product serves T alone. White noise in many dimensions sees the same spectrum, whichever it
is (Ubaru et al. 2017), so one p, from a few of them together, does for all: then f(C) z takes m - 1
products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unfog.core.shapes import expand, sum_per_sample

Product = Callable[[Tensor], Tensor]
Function = Callable[[Tensor], Tensor]  # of eigenvalues, taken as at least 0


def function_times(product: Product, z: Tensor, function: Function, products: int) -> Tensor:
    """f(C) z for each sample, (batch, channels, *space)."""
    basis, small, norm = _tridiagonal(product, z, products)
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
    """z -> p(C) z, of ``products`` - 1 products, for the p that is best for all the ``probes``
    (batch, channels, *space) together.
    """

    def of_all(v: Tensor) -> Tensor:
        return torch.stack([product(one) for one in v[0]])[None]

    _, small, _ = _tridiagonal(of_all, torch.stack(list(probes))[None], products)
    at = torch.linalg.eigvalsh(small[0]).clamp(min=0)
    (first, *others), (_, *centres) = (
        _newton(at, function(at)).flip(0).tolist(),
        at.flip(0).tolist(),
    )

    def times(z: Tensor) -> Tensor:
        found: Tensor = first * z
        for coefficient, centre in zip(others, centres, strict=True):
            found = product(found) - centre * found + coefficient * z
        return found

    return times


def _newton(at: Tensor, values: Tensor) -> Tensor:
    """Newton's divided differences of ``values`` (m,) at the points ``at`` (m,), ascending; 0
    between points that coincide.
    """
    found = values.clone()
    for k in range(1, len(at)):
        gap = at[k:] - at[:-k]
        apart = gap > 1e-9 * at[-1]
        found[k:] = torch.where(
            apart, (found[k:] - found[k - 1 : -1]) / torch.where(apart, gap, 1.0), 0.0
        )
    return found


def _tridiagonal(product: Product, z: Tensor, products: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """The basis V, T (batch, m, m) in float64, and |z| (batch,)."""
    tiny = torch.finfo(z.dtype).tiny
    norm = sum_per_sample(z**2).sqrt()
    basis, diagonal, beside = [z / expand(norm.clamp(min=tiny), z)], [], []
    for k in range(min(products, z[0].numel())):
        image = product(basis[k])
        diagonal.append(sum_per_sample(basis[k] * image))
        if k + 1 < min(products, z[0].numel()):
            for _ in range(2):  # once is not enough to keep the basis orthogonal in floating point
                for v in basis:
                    image = image - expand(sum_per_sample(v * image), image) * v
            beside.append(sum_per_sample(image**2).sqrt())
            basis.append(image / expand(beside[-1].clamp(min=tiny), image))
    side = torch.stack(beside, 1) if beside else norm.new_zeros(len(norm), 0)
    small = (
        torch.diag_embed(torch.stack(diagonal, 1))
        + torch.diag_embed(side, 1)
        + torch.diag_embed(side, -1)
    )
    return basis, small.double(), norm
