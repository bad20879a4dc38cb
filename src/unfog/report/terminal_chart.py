"""A line chart in letters, for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unfog.report.chart import Line

WIDTH, HEIGHT = 72, 14
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def terminal_chart(lines: Sequence[Line], log: bool = False) -> str:
    """A chart of text: each curve in a letter of its own, in the order of the lines.

    Args:
        lines: At most 26 curves, over shared axes; values that are not finite, or not above 0 on a
            logarithmic axis, are left out.
        log: Whether y is logarithmic.

    Returns:
        Lines of text; "" where there is nothing to draw.
    """
    height = math.log if log else float
    points = [
        (number, x, height(y))
        for number, line in enumerate(lines)
        for x, y in zip(line.x, line.y, strict=True)
        if math.isfinite(y) and (y > 0 or not log)
    ]
    if not points:
        return ""
    (left, right), (low, high) = (
        (min(p[k] for p in points), max(p[k] for p in points)) for k in (1, 2)
    )
    rows = [[" "] * WIDTH for _ in range(HEIGHT)]
    for number, x, y in points:
        column = round((WIDTH - 1) * (x - left) / ((right - left) or 1))
        row = round((HEIGHT - 1) * (high - y) / ((high - low) or 1))
        rows[row][column] = LETTERS[number % len(LETTERS)]
    ends = [f"{math.exp(v) if log else v:.3g}" for v in (high, low)]
    margin = max(map(len, ends))
    sides = [ends[0], *[""] * (HEIGHT - 2), ends[1]]
    text = [f"{s:>{margin}} |{''.join(r).rstrip()}" for s, r in zip(sides, rows, strict=True)]
    below = f"{left:g}{right:>{WIDTH - len(f'{left:g}')}g}"
    names = [f"{LETTERS[n % len(LETTERS)]}  {line.label}" for n, line in enumerate(lines)]
    return "\n".join([*text, " " * (margin + 2) + below, *names])
