"""The condition of a sample with a hole, for inpainting: the sample without what is in the hole,
and where it is known, are concatenated to x_t (Nichol et al. 2022, GLIDE, arXiv:2112.10741; Rombach
et al. 2022, arXiv:2112.10752, section 4.5).

In training the hole is drawn anew for every sample. In a share of them it is everything, which is
also the null, so the network draws from nothing as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from unfog.core.conditioning import Condition, Context, conditions
from unfog.errors import InputError

MOST = 3  # rectangles, or strokes, of one hole
THICK = (0.03, 0.12)  # of the smallest side: the radius of a stroke's brush
TURNS = 4  # straight pieces of a stroke, at most


def box(space: Sequence[int], randomness: Generator) -> Tensor:
    """A box whose sides and place are drawn evenly, True inside: (*space) bool."""
    inside = torch.zeros(tuple(space), dtype=torch.bool)
    corner = []
    for size in space:
        side = _whole(1, size, randomness)
        start = _whole(0, size - side, randomness)
        corner.append(slice(start, start + side))
    inside[tuple(corner)] = True
    return inside


def stroke(space: Sequence[int], randomness: Generator) -> Tensor:
    """What a round brush covers on its way along a few straight pieces, (*space) bool."""
    sides = torch.tensor(space, dtype=torch.float64)
    radius = max(0.5, float(sides.min()) * _even(*THICK, randomness))
    covered = torch.zeros(tuple(space), dtype=torch.bool)
    here = sides * torch.rand(len(space), generator=randomness, dtype=torch.float64)
    for _ in range(_whole(1, TURNS, randomness)):
        # The next corner: any direction, up to half of a side away, within the grid.
        way = torch.randn(len(space), generator=randomness, dtype=torch.float64)
        way = way / way.norm() * sides.mean() * _even(0.1, 0.5, randomness)
        there = (here + way).clamp(min=0).minimum(sides - 1)
        # Only near the piece are there points to cover.
        low = (here.minimum(there) - radius).floor().clamp(min=0).long().tolist()
        high = (here.maximum(there) + radius).ceil().long().tolist()
        place = tuple(slice(a, min(b + 1, n)) for a, b, n in zip(low, high, space, strict=True))
        axes = [torch.arange(part.start, part.stop, dtype=torch.float64) for part in place]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
        covered[place] |= _distance(points, here, there) <= radius
        here = there
    return covered


def _distance(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """How far points (*space, dims) are from the straight piece between two others, (*space)."""
    along = end - start
    share = ((points - start) @ along / (along @ along).clamp(min=1e-12)).clamp(0, 1)
    off: Tensor = points - start - share[..., None] * along
    return off.square().sum(-1).sqrt()


def _several(shape: Callable[[Sequence[int], Generator], Tensor]) -> Callable[..., Tensor]:
    """A hole of one shape or a few of its kind."""

    def union(space: Sequence[int], randomness: Generator) -> Tensor:
        shapes = [shape(space, randomness) for _ in range(_whole(1, MOST, randomness))]
        return torch.stack(shapes).any(0)

    return union


def _outside(space: Sequence[int], randomness: Generator) -> Tensor:
    """All but a box: what is drawn around a part that is known."""
    return ~box(space, randomness)


_KINDS = (_several(box), _several(stroke), _outside)


def hole(space: Sequence[int], randomness: Generator, everything: float = 0.2) -> Tensor:
    """A hole: boxes, strokes of a brush, or all but a box; in a share of the draws everything.

    Args:
        space: The grid, (*space), of one to three axes.
        randomness: The hole is a function of it alone.
        everything: The probability that all is a hole.

    Returns:
        (*space) bool, True in the hole, which holds at least one point.
    """
    if _even(0, 1, randomness) < everything:
        return torch.ones(tuple(space), dtype=torch.bool)
    drawn = _KINDS[_whole(0, len(_KINDS) - 1, randomness)](space, randomness)
    return drawn if bool(drawn.any()) else ~drawn


def _even(low: float, high: float, randomness: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=randomness, dtype=torch.float64))


def _whole(low: int, high: int, randomness: Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=randomness))


@conditions.register("inpainting")
class InpaintingCondition(Condition):
    """A sample outside a hole, with 0 in it, and where it is known, both concatenated to x_t.

    A value is (batch, channels, *space) on the model's scale, latents included; NAME_mask is
    (batch, 1, *space), 1 where it is known and 0 in the hole, or 1 everywhere where it is not
    given. What the value has in the hole does not count. Training makes both of x_0 (``derive``).

    Args:
        channels: Channels of a sample.
        everything: The share of training samples in which all is a hole, which is the null too.
    """

    made_of_data = True
    companion_on_grid = True

    def __init__(self, channels: int, everything: float = 0.2) -> None:
        super().__init__()
        if not 0 <= everything <= 1:
            raise InputError(
                f"The share of samples that are all hole is between 0 and 1, not {everything}."
            )
        self.channels, self.everything = channels, everything
        self.sizes = {"spatial_channels": channels + 1}

    def derive(self, x: Tensor, generators: Sequence[Generator]) -> tuple[Tensor, Tensor]:
        """The values of a training batch: its own samples x (batch, channels, *space) with a hole
        in each, by a generator a sample, and where they are known.
        """
        if not 3 <= x.ndim <= 5:
            raise InputError(
                "Holes are made in samples with one to three axes of space, not in vectors; leave "
                "the condition 'inpainting' out."
            )
        holes = torch.stack([hole(x.shape[2:], g, self.everything) for g in generators])
        known = (~holes)[:, None].to(x)
        return x * known, known

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """As of any condition; ``mask`` is where the value is known, (batch, 1, *space)."""
        if value is None:
            return self.null(x_t)
        known = torch.ones_like(value[:, :1]) if mask is None else mask.to(value)
        expected = (len(x_t), 1, *x_t.shape[2:])
        if tuple(known.shape) != expected or value.shape[2:] != x_t.shape[2:]:
            raise InputError(
                f"A sample with a hole and its mask lie on the grid of what is drawn, {expected}; "
                f"they are {tuple(value.shape)} and {tuple(known.shape)}."
            )
        present = Context(spatial=torch.cat([value * known, known], 1))
        return present if keep is None else self._choose(present, self.null(x_t), keep)

    def embed(self, value: Tensor) -> Context:
        return self.forward(value, None, value)

    def null(self, x_t: Tensor) -> Context:
        return Context(spatial=x_t.new_zeros(len(x_t), self.channels + 1, *x_t.shape[2:]))
