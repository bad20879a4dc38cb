"""The standard pictures of arrays by name, and what a notebook shows of a result.

Each takes arrays or tensors and gives a ``Figure``, which a notebook draws by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unfog.errors import InputError
from unfog.report.pictures import Picture, colour, enlarge, grey, inline, mosaic, png, shown
from unfog.report.words import plain

PERCENTILES = (0.5, 99.7)  # dark and bright
MOST = 8  # pictures in a row
WIDTH = 160  # pixels of one in a notebook

Array = NDArray[Any]


@dataclass(frozen=True)
class Figure:
    """One picture, (height, width, 3) of uint8; it writes and draws itself."""

    picture: Picture

    def save(self, path: str | Path) -> None:
        """Write it as PNG, whole pixels repeated until it is about 640 wide."""
        Path(path).write_bytes(self._repr_png_())

    def _repr_png_(self) -> bytes:
        """What a notebook draws."""
        return png(enlarge(self.picture, 640))


def window(values: ArrayLike) -> tuple[float, float]:
    """The values that are dark and bright: from 0, or a low percentile of signed values, to a high
    percentile of those that are not 0; (0, 1) where all are.
    """
    inside = np.asarray(values)
    inside = inside[np.isfinite(inside) & (inside != 0)]
    if not inside.size:
        return 0.0, 1.0
    low, high = (float(p) for p in np.percentile(inside, PERCENTILES))
    return min(low, 0.0), high or 1.0


def planes(x: ArrayLike) -> Array:
    """The planes to show of a stack.

    Args:
        x: Images (n, channels, rows, columns), or volumes (n, channels, X, Y, Z), of which three
            axial planes each are taken, upright.

    Returns:
        (planes, channels, rows, columns).

    Raises:
        InputError: It is no stack of pictures or of volumes.
    """
    stack = np.asarray(x)
    if stack.ndim == 4:
        return stack
    if stack.ndim != 5:
        raise InputError(
            f"Pictures are (n, channels, rows, columns) and volumes (n, channels, X, Y, Z); this "
            f"array has shape {stack.shape}."
        )
    depth = stack.shape[-1]
    quarters = stack[..., sorted({depth // 4, depth // 2, 3 * depth // 4})]
    upright = np.flip(quarters.transpose(0, 4, 1, 3, 2), -2)
    return upright.reshape(-1, *upright.shape[2:])


def samples(x: ArrayLike, low: float | None = None, high: float | None = None) -> Figure:
    """A contact sheet of samples: ``figures.samples(run.sample(16))``.

    Args:
        x: (n, 1 or 3 channels, rows, columns), or volumes (n, channels, X, Y, Z).
        low: The value that is dark; by default as ``window`` says of all of them.
        high: The value that is bright, likewise.

    Returns:
        The sheet, eight pictures a row at most.

    Raises:
        InputError: There are no pictures, or they have other channels.
    """
    flat = planes(x)
    if not len(flat):
        raise InputError("A contact sheet needs a sample; this array holds none.")
    ends = window(flat)
    low, high = ends[0] if low is None else low, ends[1] if high is None else high
    return _sheet([shown(one, low, high) for one in flat])


def _sheet(pictures: Sequence[Picture]) -> Figure:
    """Pictures in rows: three or fewer side by side, more in about a square."""
    across = len(pictures) if len(pictures) < 4 else min(MOST, math.ceil(math.sqrt(len(pictures))))
    rows = [pictures[k : k + across] for k in range(0, len(pictures), across)]
    return Figure(mosaic(rows, background=255))


def map_of(values: ArrayLike, top: float | None = None, table: str = "magma") -> Figure:
    """A map such as a standard deviation, through a colour table.

    Args:
        values: (rows, columns), or (X, Y, Z), of which three axial planes are shown.
        top: The value at the table's end; as ``window`` says by default.
        table: A colour table of matplotlib.

    Returns:
        The planes side by side.

    Raises:
        InputError: The array has other axes.
    """
    return maps(planes(np.asarray(values)[None, None])[:, 0], top, table)


def maps(values: ArrayLike, top: float | None = None, table: str = "magma") -> Figure:
    """Maps (n, rows, columns) as ``map_of`` shows one, laid out as ``samples`` are."""
    flat = np.asarray(values)
    top = window(flat)[1] if top is None else top
    return _sheet([colour(one, 0.0, top, table) for one in flat])


def volume(values: ArrayLike) -> Figure:
    """Three axial planes of a volume (X, Y, Z) in grey, or a picture (rows, columns)."""
    flat = planes(np.asarray(values)[None, None])[:, 0]
    low, high = window(flat)
    return _sheet([grey(one, low, high) for one in flat])


def directions(axis: ArrayLike, fa: ArrayLike) -> Figure:
    """Axes as colours on three axial planes: red to the side, green to the front, blue upwards, as
    bright as the fractional anisotropy.

    Args:
        axis: (X, Y, Z, 3), unit vectors.
        fa: (X, Y, Z).

    Returns:
        The planes side by side.
    """
    axes = planes(np.moveaxis(np.asarray(axis), -1, 0)[None])
    weights = planes(np.asarray(fa)[None, None])[:, 0]
    pairs = zip(axes, weights, strict=True)
    return _sheet([coloured(w, np.moveaxis(a, 0, -1)) for a, w in pairs])


def coloured(fa: Array, axis: Array) -> Picture:
    """A slice (rows, columns) of axes (rows, columns, 3) as colours, as bright as FA."""
    return np.asarray(np.rint(255 * (np.abs(axis) * fa[..., None]).clip(0, 1)), dtype=np.uint8)


def fragment(
    title: str, facts: Mapping[str, Any], figures: Mapping[str, Figure], note: str = ""
) -> str:
    """What a notebook shows of a result: a table of facts, and pictures under their names.

    Args:
        title: What it is.
        facts: Values by name.
        figures: Pictures by name.
        note: Below them.

    Returns:
        HTML that needs no other file, without style sheets and scripts; every text is escaped.
    """
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(plain(value))}</td></tr>'
        for name, value in facts.items()
    )
    drawn = "".join(_figure(name, one) for name, one in figures.items())
    below = f"<p><small>{escape(note)}</small></p>" if note else ""
    return f"<div><p><strong>{escape(title)}</strong></p><table>{rows}</table>{drawn}{below}</div>"


def _figure(name: str, one: Figure) -> str:
    """A picture above its name; three planes are as wide as three."""
    height, width = one.picture.shape[:2]
    wide = min(3, max(1, round(width / height))) * WIDTH
    image = inline(enlarge(one.picture, wide), name, width=wide)
    return (
        f'<figure style="display:inline-block;margin:.4em">{image}'
        f"<figcaption>{escape(name)}</figcaption></figure>"
    )


def sizes(shape: Sequence[int]) -> str:
    """A shape in words.

    >>> sizes((1, 96, 80))
    '1 x 96 x 80'
    """
    return " x ".join(map(str, shape))
