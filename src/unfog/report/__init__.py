"""Parts of a report: one self-contained HTML file, nothing fetched, readable without scripts."""

from unfog.report.chart import Line, line_chart
from unfog.report.glyphs import Axis, axes_over
from unfog.report.page import Page, Row
from unfog.report.pictures import colour, grey, mosaic, png, with_sides

__all__ = [
    "Axis",
    "Line",
    "Page",
    "Row",
    "axes_over",
    "colour",
    "grey",
    "line_chart",
    "mosaic",
    "png",
    "with_sides",
]
