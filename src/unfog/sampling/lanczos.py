r"""The Lanczos process: f(C) z for a symmetric C that is known by its products alone (Lanczos 1950; Chow & Saad 2014, for noise).

m products span the Krylov space of z, in whose orthonormal basis V, V_1 = z / |z|, C is a small tridiagonal T, so that

    f(C) z ~ |z| V f(T) e_1,

exact where z sees at most m distinct eigenvalues of C. Where f^2 is linear, |f(C) z| is exact for any m: noise has the right power.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unfog.core.shapes import expand, sum_per_sample


def function_times(product: Callable[[Tensor], Tensor], z: Tensor, function: Callable[[Tensor], Tensor], products: int) -> Tensor:
    """f(C) z for each sample, (batch, channels, *space); ``function`` maps eigenvalues, taken as at least 0, to f of them."""
    tiny = torch.finfo(z.dtype).tiny
    norm = sum_per_sample(z**2).sqrt()
    basis, diagonal, beside = [z / expand(norm.clamp(min=tiny), z)], [], []
    for _ in range(min(products, z[0].numel())):
        image = product(basis[-1])
        diagonal.append(sum_per_sample(basis[-1] * image))
        for _ in range(2):  # once is not enough to keep the basis orthogonal in floating point
            for v in basis:
                image = image - expand(sum_per_sample(v * image), image) * v
        beside.append(sum_per_sample(image**2).sqrt())
        basis.append(image / expand(beside[-1].clamp(min=tiny), image))
    side = torch.stack(beside[:-1], 1) if len(beside) > 1 else norm.new_zeros(len(norm), 0)
    small = torch.diag_embed(torch.stack(diagonal, 1)) + torch.diag_embed(side, 1) + torch.diag_embed(side, -1)
    eigenvalues, vectors = torch.linalg.eigh(small.double())
    weights = (vectors @ (function(eigenvalues.clamp(min=0)) * vectors[:, 0])[..., None])[..., 0] * norm[:, None]
    return sum((expand(w, z) * v for w, v in zip(weights.unbind(1), basis[:-1], strict=True)), torch.zeros_like(z))
