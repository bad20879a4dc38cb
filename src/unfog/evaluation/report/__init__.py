"""Parts of a report: one self-contained HTML file, no scripts, nothing fetched."""

from unfog.evaluation.report.chart import Line, line_chart
from unfog.evaluation.report.page import Page, Row
from unfog.evaluation.report.pictures import colour, grey, mosaic, png

__all__ = ["Line", "Page", "Row", "colour", "grey", "line_chart", "mosaic", "png"]
