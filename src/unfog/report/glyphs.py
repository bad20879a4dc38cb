"""Axes drawn over a picture as SVG: a stick for each, and a cone about it where the axis is
uncertain.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from unfog.report.pictures import Picture, enlarge, png

LENGTH = 0.46  # of a voxel, from its middle to either end of a stick that lies in the picture


@dataclass(frozen=True)
class Axis:
    """An axis through a pixel: its extent to the ``right`` and ``up`` (1 at most), its colour, and
    the half-angle of its cone in degrees, 0 without one.
    """

    row: int
    column: int
    right: float
    up: float
    colour: tuple[int, int, int]
    cone: float = 0.0


def axes_over(picture: Picture, axes: Sequence[Axis], alt: str) -> str:
    """A picture with axes drawn over it.

    Args:
        picture: (height, width, 3).
        axes: The axes; one unit is a pixel.
        alt: The description for those who do not see it.

    Returns:
        An SVG element as wide as its place.
    """
    height, width = picture.shape[:2]
    data = base64.b64encode(png(enlarge(picture))).decode()
    marks = "".join(_cone(axis) + _stick(axis) for axis in axes)
    return (
        f'<svg class="glyphs" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alt)}">'
        f'<image width="{width}" height="{height}" '
        f'href="data:image/png;base64,{data}"/>{marks}</svg>'
    )


def _stick(axis: Axis) -> str:
    """The line of an axis, thin where it has a cone."""
    x, y, dx, dy = axis.column + 0.5, axis.row + 0.5, LENGTH * axis.right, -LENGTH * axis.up
    thin = ' class="thin"' if axis.cone > 0 else ""
    return (
        f'<path{thin} d="M{x - dx:.2f} {y - dy:.2f}L{x + dx:.2f} {y + dy:.2f}" '
        f'stroke="{_hex(axis)}"/>'
    )


def _cone(axis: Axis) -> str:
    """Two triangles that meet in the pixel's middle, as wide as the cone."""
    if not axis.cone > 0:
        return ""
    x, y, wide = axis.column + 0.5, axis.row + 0.5, math.tan(math.radians(min(axis.cone, 60.0)))
    dx, dy = LENGTH * axis.right, -LENGTH * axis.up
    ends = [
        (sign * (dx - side * wide * dy), sign * (dy + side * wide * dx))
        for sign in (1, -1)
        for side in (-1, 1)
    ]
    points = [f"{x + ex:.2f} {y + ey:.2f}" for ex, ey in ends]
    middle = f"{x:.1f} {y:.1f}"
    return (
        '<path class="cone" '
        f'd="M{middle}L{points[0]}L{points[1]}ZM{middle}L{points[2]}L{points[3]}Z" '
        f'fill="{_hex(axis)}"/>'
    )


def _hex(axis: Axis) -> str:
    """The colour of an axis as HTML writes it."""
    return "#" + "".join(f"{min(max(c, 0), 255):02x}" for c in axis.colour)
