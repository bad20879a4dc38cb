"""A line chart as a small SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 42
LINE, NAMED = 12, 8  # pixels of a line of text; curves that are named, at most

Scale = Callable[[float], float]


@dataclass(frozen=True)
class Line:
    """One curve of a chart, with its label; a ``faint`` one is the background to another."""

    x: Sequence[float]
    y: Sequence[float]
    label: str
    faint: bool = False


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers for the ticks of an axis.

    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]

    Args:
        low: The axis's least value.
        high: Its greatest.
        count: About how many.

    Returns:
        Multiples of 1, 2 or 5 times a power of ten in [low, high].
    """
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda m: abs(m * power - rough))
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten in [low, high]."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]


def line_chart(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    alt: str,
    log: bool = False,
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """A line chart as an SVG element, or a sentence where there is nothing to draw.

    Args:
        lines: The curves, over shared axes; values that are not finite are left out.
        x_label: Below the chart.
        y_label: At its side.
        alt: The description for those who do not see it.
        log: Whether y is logarithmic.
        marks: Labelled places along x.

    Returns:
        HTML.
    """
    points = [point for line in lines for point in _drawn(line, log)]
    if not points:
        return f'<p class="quiet">{escape(alt)}: nothing was recorded.</p>'
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    # Scales from values to pixels, then axes, marks and curves.
    x_of = _scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_of = _scale(min(ys), max(ys), HEIGHT - BOTTOM, TOP, log)
    body = [
        _y_axis(y_of, log_ticks(min(ys), max(ys)) if log else ticks(min(ys), max(ys))),
        _x_axis(x_of, ticks(min(xs), max(xs), 8)),
    ]
    body += [_mark(x_of(x), text) for x, text in marks]
    body += [_curve(line, x_of, y_of, log) for line in lines]
    body += _names([line for line in lines if not line.faint], x_of, y_of, log)
    body.append(
        f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 6}" '
        f'class="middle">{escape(x_label)}</text>'
    )
    body.append(
        f'<text transform="translate(12 {HEIGHT / 2 - 14:.0f}) rotate(-90)" '
        f'class="middle">{escape(y_label)}</text>'
    )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(alt)}">{"".join(body)}</svg>'
    )


def _scale(low: float, high: float, start: float, end: float, log: bool = False) -> Scale:
    """The map from [low, high] to the pixels from start to end."""
    if log:
        plain = _scale(math.log(low), math.log(high), start, end)
        return lambda v: plain(math.log(v))
    return lambda v: start + (end - start) * (v - low) / ((high - low) or 1.0)


def _y_axis(y_of: Scale, at: Sequence[float]) -> str:
    """Rules and numbers at the values ``at``."""
    return "".join(
        f'<path class="rule" d="M{LEFT} {y_of(v):.1f}H{WIDTH - RIGHT}"/><text x="{LEFT - 6}" '
        f'y="{y_of(v) + 4:.1f}" class="end">{v:g}</text>'
        for v in at
    )


def _x_axis(x_of: Scale, at: Sequence[float]) -> str:
    """Numbers at the values ``at``."""
    return "".join(
        f'<text x="{x_of(v):.1f}" y="{HEIGHT - BOTTOM + 17}" class="middle">{v:g}</text>'
        for v in at
    )


def _mark(x: float, text: str) -> str:
    """A labelled vertical line at the pixel ``x``."""
    return (
        f'<path class="mark" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/><text x="{x - 4:.1f}" '
        f'y="{TOP + 9}" class="end">{escape(text)}</text>'
    )


def _drawn(line: Line, log: bool) -> list[tuple[float, float]]:
    """The points of a curve that can be drawn."""
    return [
        (x, y)
        for x, y in zip(line.x, line.y, strict=True)
        if math.isfinite(y) and (y > 0 or not log)
    ]


def _names(lines: Sequence[Line], x_of: Scale, y_of: Scale, log: bool) -> list[str]:
    """The names of several curves at their ends, one below the other where they would overlap; of
    one or of many the title is enough.
    """
    if not 1 < len(lines) <= NAMED:
        return []
    ends = sorted(
        (y_of(points[-1][1]) - 5, x_of(points[-1][0]), line.label)
        for line in lines
        if (points := _drawn(line, log))
    )
    texts, lowest = [], 9.0 - LINE  # the first within the chart
    for y, x, label in ends:
        lowest = max(y, lowest + LINE)
        texts.append(f'<text class="end" x="{x:.1f}" y="{lowest:.1f}">{escape(label)}</text>')
    return texts


def _curve(line: Line, x_of: Scale, y_of: Scale, log: bool, most: int = 600) -> str:
    """A curve, thinned to about ``most`` points."""
    points = _drawn(line, log)
    points = points[:: max(1, len(points) // most)]
    path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
    return (
        f'<polyline class="{"faint" if line.faint else "curve"}" '
        f'points="{path}"><title>{escape(line.label)}</title></polyline>'
    )
