r"""Random tissue: smooth fields, and the tissues, fibres and lesions made of them.

Everything is drawn from one generator, on a cube of voxels. Tissue fractions and the weights of
fibre populations are softmaxes of fields, sharp or mixed by their contrast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

OCTAVES = (0.6, 1.2, 2.4, 4.8)  # widths in voxels of the fields that ``power_law`` sums


@dataclass(frozen=True)
class Space:
    """A cube of ``side`` voxels and the generator that draws everything in it; fields are (...,
    voxels), voxels = side^3.
    """

    side: int
    generator: Generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform random numbers.

        Args:
            low: Their least value.
            high: Their greatest.
            shape: Of the result.

        Returns:
            Numbers of this shape.
        """
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def number(self, low: float, high: float) -> float:
        """One uniform random number."""
        return float(self.uniform(low, high))

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Random numbers whose logarithm is uniform.

        Args:
            low: Their least value, above 0.
            high: Their greatest.
            shape: Of the result.

        Returns:
            Numbers of this shape.
        """
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return self.number(0, 1) < probability

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator)

    def smooth(self, count: int, width: float | Tensor) -> Tensor:
        """``count`` random fields (count, voxels) of mean 0 and variance 1 at every voxel: white
        noise smoothed by a Gaussian along each axis, every row of the smoothing scaled to unit
        norm.

        ``width`` is the Gaussian's deviation in voxels, one number or (count,).
        """
        n = self.side
        at = torch.arange(n, dtype=torch.float32)
        widths = torch.as_tensor(width, dtype=torch.float32).expand(count).view(-1, 1, 1)
        # (count, n, n), rows of unit norm.
        kernel = normalize(torch.exp(-((at[:, None] - at) ** 2) / (2 * widths**2)), dim=2)
        x = self.normal(count, n, n * n)
        # Smooth the first axis, and make the next one the first.
        for _ in range(3):
            x = (
                torch.bmm(kernel, x)
                .view(count, n, n, n)
                .permute(0, 2, 3, 1)
                .reshape(count, n, n * n)
            )
        return x.view(count, -1)

    def power_law(self, count: int, exponent: float) -> Tensor:
        """``count`` fields (count, voxels) with detail at every scale, mean 0 and variance 1: a sum
        over octaves of width w with weights w^exponent.
        """
        weights = normalize(torch.tensor(OCTAVES) ** exponent, dim=0)
        octaves = self.smooth(count * len(OCTAVES), torch.tensor(OCTAVES).repeat(count)).view(
            count, len(OCTAVES), -1
        )
        return torch.einsum("kov,o->kv", octaves, weights)

    def positions(self) -> Tensor:
        """The coordinates of each voxel, (voxels, 3)."""
        at = torch.arange(self.side, dtype=torch.float32)
        return torch.cartesian_prod(at, at, at)

    def varying(self, low: float, high: float, count: int, share: float = 0.5) -> Tensor:
        """Tissue parameters that vary in space: a random level each, and a smooth field about it
        that they share.

        Args:
            low: The least value.
            high: The greatest; values beyond are clipped.
            count: Parameters.
            share: The largest deviation of the field, over half the range.

        Returns:
            (count, voxels).
        """
        swing = self.number(0, share) * (high - low) / 2
        field = self.smooth(1, self.log_uniform(0.6, 6)) * swing
        return (self.uniform(low, high, count, 1) + field).clamp(low, high)


def softmax_of_fields(fields: Tensor, space: Space) -> Tensor:
    """Fractions (count, voxels) that sum to one, from well mixed to nearly pure by a random
    contrast.
    """
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
    """1 inside the head and 0 in air, (voxels,), with a soft border; three patches of four hold no
    air.
    """
    if not space.happens(0.25):
        return torch.ones(space.side**3)
    field = space.smooth(1, space.log_uniform(2, 6))[0]
    return torch.sigmoid(space.log_uniform(4, 40) * (field - space.number(-2, 0.5)))


@dataclass(frozen=True)
class Fibres:
    """Fibre populations in each voxel: ``weights`` (populations, voxels) that sum to one, and unit
    ``directions`` (3, populations, voxels).
    """

    weights: Tensor
    directions: Tensor


def fibres(space: Space) -> Fibres:
    """One to four fibre populations: mostly with directions that bend smoothly, in one patch of
    five constant over cells, in 7 % independent between voxels.
    """
    count = 1 + int(
        torch.multinomial(torch.tensor([0.3, 0.35, 0.25, 0.1]), 1, generator=space.generator)
    )
    kind = space.number(0, 1)
    if kind < 0.07:
        populations = _free_fibres(space.side**3, count, space)
    elif kind < 0.27:
        populations = _cellular(space, count)
    else:
        populations = _bent(space, count)
    # Leave out populations of small weight.
    weights = torch.where(populations.weights < space.uniform(0, 0.15), 0.0, populations.weights)
    return Fibres(weights / weights.sum(0).clamp(min=1e-6), populations.directions)


def _bent(space: Space, count: int) -> Fibres:
    """Populations whose directions bend smoothly about a mean direction."""
    weights = softmax_of_fields(space.smooth(count, space.log_uniform(0.8, 6)), space)
    bend = space.smooth(3 * count, space.log_uniform(1.2, 8)).view(3, count, -1) * space.uniform(
        0.02, 1
    )
    return Fibres(weights, normalize(normalize(space.normal(3, count, 1), dim=0) + bend, dim=0))


def _free_fibres(places: int, count: int, space: Space) -> Fibres:
    """Populations with weights and directions drawn independently at each of ``places``."""
    weights = torch.softmax(1.5 * space.normal(count, places), 0)
    return Fibres(weights, normalize(space.normal(3, count, places), dim=0))


def _cellular(space: Space, count: int) -> Fibres:
    """Populations that are constant over the Voronoi cells of 3 to 60 random seeds."""
    cells = int(space.uniform(3, 61))
    nearest = torch.cdist(space.positions(), space.uniform(0, space.side, cells, 3)).argmin(1)
    of_cell = _free_fibres(cells, count, space)
    return Fibres(of_cell.weights[:, nearest], of_cell.directions[..., nearest])


def blobs(space: Space) -> Tensor:
    """Lesions, one to three soft ellipsoids: the share of each voxel that they replace, (blobs,
    voxels).
    """
    count = 1 + int(space.uniform(0, 3))
    offset = space.positions().T - space.uniform(0, space.side, count, 3, 1)
    radii, edge = space.log_uniform(1, 7, count, 3, 1), space.uniform(0.2, 1.5, count, 1)
    # About the distance in voxels to the ellipsoid's surface, below 0 inside.
    distance = ((offset / radii).norm(dim=1) - 1) * radii.mean(1)
    return torch.sigmoid(-distance / edge) * space.uniform(0.1, 0.9, count, 1)
