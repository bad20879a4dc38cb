"""Parts of a report: one self-contained HTML file, nothing fetched, readable without scripts."""

from unfog.evaluation.report.chart import Line, line_chart
from unfog.evaluation.report.glyphs import Axis, axes_over
from unfog.evaluation.report.page import Page, Row
from unfog.evaluation.report.pictures import colour, grey, mosaic, png

__all__ = ["Axis", "Line", "Page", "Row", "axes_over", "colour", "grey", "line_chart", "mosaic", "png"]
