r"""Random tissue: smooth fields and what is made of them. Everything here is drawn from one
generator, on a cube of ``side`` voxels.

A field is white noise smoothed by a Gaussian along each axis, every row of the smoothing scaled to
unit norm, so that it has mean 0 and variance 1 at every voxel. Tissue fractions and the weights of
fibre populations are softmaxes of fields: sharp or mixed by their contrast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

OCTAVES = (0.6, 1.2, 2.4, 4.8)


@dataclass(frozen=True)
class Space:
    """A cube of ``side`` voxels and the generator that fills it; fields are (..., voxels), voxels =
    side^3.
    """

    side: int
    generator: Generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Numbers of a uniform distribution."""
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def number(self, low: float, high: float) -> float:
        """One of them."""
        return float(self.uniform(low, high))

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Numbers whose logarithm is uniform."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return self.number(0, 1) < probability

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator)

    def smooth(self, count: int, width: float | Tensor) -> Tensor:
        """``count`` fields (count, voxels) of mean 0 and variance 1; ``width`` of the Gaussian in
        voxels, one or (count,).
        """
        n = self.side
        at = torch.arange(n, dtype=torch.float32)
        widths = torch.as_tensor(width, dtype=torch.float32).expand(count).view(-1, 1, 1)
        kernel = normalize(
            torch.exp(-((at[:, None] - at) ** 2) / (2 * widths**2)), dim=2
        )  # (count, n, n), rows of unit norm
        x = self.normal(count, n, n * n)
        for _ in range(3):  # smooth the first axis, and let the next one become the first
            x = (
                torch.bmm(kernel, x)
                .view(count, n, n, n)
                .permute(0, 2, 3, 1)
                .reshape(count, n, n * n)
            )
        return x.view(count, -1)

    def power_law(self, count: int, exponent: float) -> Tensor:
        """Fields (count, voxels) with detail at every scale, octaves weighted by width^exponent;
        mean 0 and variance 1.
        """
        weights = normalize(torch.tensor(OCTAVES) ** exponent, dim=0)
        octaves = self.smooth(count * len(OCTAVES), torch.tensor(OCTAVES).repeat(count)).view(
            count, len(OCTAVES), -1
        )
        return torch.einsum("kov,o->kv", octaves, weights)

    def positions(self) -> Tensor:
        """Where each voxel is, (voxels, 3)."""
        at = torch.arange(self.side, dtype=torch.float32)
        return torch.cartesian_prod(at, at, at)

    def varying(self, low: float, high: float, count: int, share: float = 0.5) -> Tensor:
        """``count`` tissue parameters (count, voxels) between ``low`` and ``high``: a random level,
        and a field about it.
        """
        swing = self.number(0, share) * (high - low) / 2
        field = self.smooth(1, self.log_uniform(0.6, 6)) * swing
        return (self.uniform(low, high, count, 1) + field).clamp(low, high)


def softmax_of_fields(fields: Tensor, space: Space) -> Tensor:
    """Fractions (count, voxels) that sum to one, between well mixed and nearly pure."""
    return torch.softmax(math.exp(space.number(-0.5, 2.5)) * fields, 0)


def tissues(space: Space) -> Tensor:
    """Fractions (3, voxels) of white matter, grey matter and cerebrospinal fluid; white matter is
    the commonest.
    """
    rough = space.happens(0.4)
    fields = (
        space.power_law(3, space.number(0.2, 1.2))
        if rough
        else space.smooth(3, space.log_uniform(0.6, 6))
    )
    offsets = torch.stack([space.uniform(0, 1.4), space.uniform(-0.6, 0.6), space.uniform(-1.8, 0)])
    return softmax_of_fields(fields + offsets[:, None], space)


def presence(space: Space) -> Tensor:
    """1 inside the head and 0 in air, (voxels,): most patches hold no air at all."""
    if not space.happens(0.25):
        return torch.ones(space.side**3)
    field = space.smooth(1, space.log_uniform(2, 6))[0]
    return torch.sigmoid(space.log_uniform(4, 40) * (field - space.number(-2, 0.5)))


@dataclass(frozen=True)
class Fibres:
    """Populations in each voxel: ``weights`` (populations, voxels) that sum to one, unit
    ``directions`` (3, populations, voxels).
    """

    weights: Tensor
    directions: Tensor


def fibres(space: Space) -> Fibres:
    """One to four populations whose directions bend smoothly, in one patch of five are constant
    over cells, and rarely independent.
    """
    count = 1 + int(
        torch.multinomial(torch.tensor([0.3, 0.35, 0.25, 0.1]), 1, generator=space.generator)
    )
    kind = space.number(0, 1)
    if kind < 0.07:
        found = _free_fibres(space.side**3, count, space)
    elif kind < 0.27:
        found = _cellular(space, count)
    else:
        found = _bent(space, count)
    weights = torch.where(found.weights < space.uniform(0, 0.15), 0.0, found.weights)
    return Fibres(weights / weights.sum(0).clamp(min=1e-6), found.directions)


def _bent(space: Space, count: int) -> Fibres:
    weights = softmax_of_fields(space.smooth(count, space.log_uniform(0.8, 6)), space)
    bend = space.smooth(3 * count, space.log_uniform(1.2, 8)).view(3, count, -1) * space.uniform(
        0.02, 1
    )
    return Fibres(weights, normalize(normalize(space.normal(3, count, 1), dim=0) + bend, dim=0))


def _free_fibres(places: int, count: int, space: Space) -> Fibres:
    """Weights and directions drawn afresh at each of ``places``."""
    weights = torch.softmax(1.5 * space.normal(count, places), 0)
    return Fibres(weights, normalize(space.normal(3, count, places), dim=0))


def _cellular(space: Space, count: int) -> Fibres:
    """Constant over the Voronoi cells of 3 to 60 random seeds."""
    cells = int(space.uniform(3, 61))
    nearest = torch.cdist(space.positions(), space.uniform(0, space.side, cells, 3)).argmin(1)
    of_cell = _free_fibres(cells, count, space)
    return Fibres(of_cell.weights[:, nearest], of_cell.directions[..., nearest])


def blobs(space: Space) -> Tensor:
    """One to three soft ellipsoids, as the share of each voxel that they replace, (blobs,
    voxels).
    """
    count = 1 + int(space.uniform(0, 3))
    offset = space.positions().T - space.uniform(0, space.side, count, 3, 1)
    radii, edge = space.log_uniform(1, 7, count, 3, 1), space.uniform(0.2, 1.5, count, 1)
    distance = ((offset / radii).norm(dim=1) - 1) * radii.mean(1)
    return torch.sigmoid(-distance / edge) * space.uniform(0.1, 0.9, count, 1)
