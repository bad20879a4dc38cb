r"""Precision, recall, density and coverage of generated samples: is what is drawn among the data,
and is all of the data drawn?
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.errors import InputError

NEIGHBOURS = 5  # as in Naeem et al.
ROWS = 1024  # of a matrix of distances at a time


@dataclass(frozen=True)
class Manifold:
    """Four figures, each as the mean of what one sample says.

    Args:
        precision: (n,), whether a generated sample lies in the ball of a real one.
        density: (n,), in how many balls of real samples it lies, over k.
        recall: (m,), whether a real sample lies in the ball of a generated one.
        coverage: (m,), whether the ball of a real sample holds a generated one.
    """

    precision: Tensor
    density: Tensor
    recall: Tensor
    coverage: Tensor


def manifold(generated: Tensor, real: Tensor, k: int = NEIGHBOURS) -> Manifold:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    The ball of a sample reaches to its k-th nearest neighbour in its own set, the surface left
    out. All four depend on the sizes of both sets, so a floor is taken at the same sizes.

    Args:
        generated: (n, d), features.
        real: (m, d), features.
        k: Neighbours.

    Returns:
        What each sample says.

    Raises:
        InputError: The widths differ, or a set has k samples or fewer.
    """
    if generated.ndim != 2 or real.ndim != 2 or generated.shape[1] != real.shape[1]:
        raise InputError(
            "Precision and recall need features (n, d) and (m, d) of one width, got "
            f"{tuple(generated.shape)} and {tuple(real.shape)}."
        )
    if min(len(generated), len(real)) <= k:
        raise InputError(
            f"Precision and recall by {k} neighbours need more than {k} samples of each kind, got "
            f"{len(generated)} and {len(real)}."
        )
    own, others = radii(generated, k), radii(real, k)
    precise, held = [], []
    recalled = torch.zeros(len(real), dtype=torch.bool)
    covered = torch.zeros(len(real), dtype=torch.bool)
    for rows, distance in _distances(generated, real):
        within = distance < others  # of the balls of real samples
        precise.append(within.any(1))
        held.append(within.sum(1).double() / k)
        covered |= within.any(0)
        recalled |= (distance < own[rows, None]).any(0)
    return Manifold(
        torch.cat(precise).double(), torch.cat(held).double(), recalled.double(), covered.double()
    )


def radii(x: Tensor, k: int) -> Tensor:
    """The distance of each sample of ``x`` (n, d) to its k-th nearest other, (n,)."""
    # The nearest of all is the sample itself.
    parts = [distance.kthvalue(k + 1, dim=1).values for _, distance in _distances(x, x)]
    return torch.cat(parts)


def nearest(x: Tensor, among: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of a set to each of others.

    Args:
        x: (n, d).
        among: (m, d), with m of k or more.
        k: Neighbours.

    Returns:
        Their distances, the nearest first, and their numbers in ``among``; (n, k) both.
    """
    found = [distance.topk(k, dim=1, largest=False) for _, distance in _distances(x, among)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def _distances(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The Euclidean distances of x (n, d) from y (m, d), some rows at a time.

    Both are shifted to y's mean, so that the products lose no digits to an offset.
    """
    middle = y.mean(0)
    x, y = x - middle, y - middle
    squares = y.square().sum(1)
    for start in range(0, len(x), ROWS):
        rows = slice(start, start + ROWS)
        part = x[rows]
        squared = part.square().sum(1, keepdim=True) + squares - 2 * part @ y.T
        yield rows, squared.clamp(min=0).sqrt()
