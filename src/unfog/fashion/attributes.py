r"""Attributes of garments, measured from pictures, so that they need no labels.

A garment lies on black; its figure is where a picture is brighter than an eighth of white, and so
are three or more of the eight neighbours: as many as a corner has, so that shapes keep theirs and
specks do not count. With a box about the figure, whose rows and columns are those that hold any of
it:

    sleeve       how far down the sides reach: the share of the box's rows with figure in the outer
                 sixth of the box, mean of left and right
    width        mean of the figure's columns in a row of the box, over the picture's columns
    brightness   mean grey of the figure, 0 for black to 1 for white
    symmetry     1 - sum |x - x'| / sum (x + x'), x' the figure mirrored about the box's middle
    pattern      sqrt(E |x(i) - x(j)|^2 / (2 Var x + e)) / pi, i and j neighbours in the figure: the
                 mean frequency of its grey levels in cycles a pixel, for frequencies that are
                 not near the grid's; e = 0.02^2, below which a garment counts as plain

The last comes from E |x(i) - x(j)|^2 = 2 Var x (1 - cos(2 pi f)) of a wave of frequency f.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from unfog.runs.properties import Measure, measures

FIGURE = 0.125  # of white: what is brighter is no background
NEIGHBOURS = 3  # of eight that are bright too
SIDE = 6  # a side is this part of the box's columns
PLAIN = 0.02  # deviation of grey levels below which a garment counts as plain
ATTRIBUTES = ("sleeve", "width", "brightness", "symmetry", "pattern")
BATCH = 4096  # pictures measured at a time


def figure_of(x: Tensor) -> Tensor:
    """The figure of pictures x (batch, 1, rows, columns) in [0, 1], of the same shape, bool."""
    bright = x > FIGURE
    around = 9 * avg_pool2d(bright.float(), 3, 1, 1)  # itself among them
    return bright & (around > NEIGHBOURS + 0.5)


def attributes_of(x: Tensor) -> Tensor:
    """The attributes of pictures.

    Args:
        x: (batch, 1, rows, columns), grey in [0, 1] on black.

    Returns:
        (batch, 5) in the order of ``ATTRIBUTES``; zeros of a picture without a figure.
    """
    return torch.cat([_measured(part[:, 0].float()) for part in torch.split(x, BATCH)])


@measures.register("garments")
def measured_garments() -> Measure:
    """``attributes_of``, by which the best of several draws is found."""
    return attributes_of


def _measured(x: Tensor) -> Tensor:
    """The attributes (batch, 5) of pictures (batch, rows, columns)."""
    inside = figure_of(x[:, None])[:, 0]
    area = inside.sum((1, 2)).clamp(min=1)
    rows = inside.any(2).sum(1).clamp(min=1)
    measured = [
        _sleeve(inside, rows),
        area / rows / x.shape[2],
        (x * inside).sum((1, 2)) / area,
        _symmetry(x * inside, inside),
        _pattern(x, inside),
    ]
    found = torch.stack([value.float() for value in measured], 1)
    return found * inside.any(2).any(1)[:, None]


def _box(inside: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last column of figures (batch, rows, columns), each (batch,)."""
    filled = inside.any(1)
    columns = torch.arange(inside.shape[2], device=inside.device)
    first = torch.where(filled, columns, inside.shape[2]).amin(1)
    return first, torch.where(filled, columns, -1).amax(1)


def _sleeve(inside: Tensor, rows: Tensor) -> Tensor:
    """How far down the sides reach, (batch,)."""
    first, last = _box(inside)
    depth = ((last - first + 1) / SIDE).ceil()
    columns = torch.arange(inside.shape[2], device=inside.device)
    left = (columns >= first[:, None]) & (columns < (first + depth)[:, None])
    right = (columns <= last[:, None]) & (columns > (last - depth)[:, None])
    sides = [(inside & side[:, None]).any(2).sum(1) / rows for side in (left, right)]
    return torch.stack(sides).mean(0)


def _symmetry(x: Tensor, inside: Tensor) -> Tensor:
    """Likeness to the mirror image about the box's middle, (batch,)."""
    first, last = _box(inside)
    width = x.shape[2]
    columns = torch.arange(width, device=x.device)
    # Column c has its image at first + last - c, which may lie outside the picture.
    image = (first + last)[:, None] - columns
    there = (image >= 0) & (image < width)
    index = image.clamp(0, width - 1)[:, None].expand_as(x)
    mirrored = x.gather(2, index) * there[:, None]
    total = (x + mirrored).sum((1, 2)).clamp(min=1e-6)
    return 1 - (x - mirrored).abs().sum((1, 2)) / total


def _pattern(x: Tensor, inside: Tensor) -> Tensor:
    """The mean frequency of the grey levels within the figure, cycles a pixel, (batch,)."""
    area = inside.sum((1, 2)).clamp(min=1)
    mean = (x * inside).sum((1, 2)) / area
    variance = ((x - mean[:, None, None]).square() * inside).sum((1, 2)) / area
    # Pairs of neighbours, down and across, both in the figure.
    squares, pairs = torch.zeros_like(mean), torch.zeros_like(mean)
    for axis in (1, 2):
        n = x.shape[axis] - 1
        both = inside.narrow(axis, 0, n) & inside.narrow(axis, 1, n)
        squares += (x.diff(dim=axis).square() * both).sum((1, 2))
        pairs += both.sum((1, 2))
    energy = squares / pairs.clamp(min=1)
    return (energy / (2 * variance + PLAIN**2)).sqrt() / torch.pi
