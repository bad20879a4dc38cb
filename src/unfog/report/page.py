"""A report's page of sections, pictures, charts and tables: one HTML file that needs no other."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from unfog.report.chart import Line, line_chart
from unfog.report.glyphs import Axis, axes_over
from unfog.report.pictures import Picture, enlarge, inline
from unfog.report.words import cell, plain

# With this policy the browser refuses whatever is not in this file, and any script but the one
# whose hash is added.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Row:
    """A row of pictures: a name at its side and, where given, a caption under each."""

    name: str
    pictures: Sequence[Picture]
    captions: Sequence[str] = ()


class Page:
    """Builds one HTML file from top to bottom; every text is escaped."""

    def __init__(self, title: str, lead: str = "") -> None:
        self.title = title
        self._script = ""
        self._body = [
            f'<header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p></header>'
        ]

    def section(self, title: str, *paragraphs: str) -> None:
        """A heading and its first paragraphs."""
        self._body.append(f"<h2>{escape(title)}</h2>")
        self.text(*paragraphs)

    def text(self, *paragraphs: str, quiet: bool = False) -> None:
        """Paragraphs, in small print where ``quiet``."""
        opening = '<p class="quiet">' if quiet else "<p>"
        self._body += [f"{opening}{escape(p)}</p>" for p in paragraphs]

    def warning(self, title: str, *paragraphs: str) -> None:
        """A box that stands out."""
        inside = "".join(f"<p>{escape(p)}</p>" for p in paragraphs)
        self._body.append(
            f'<aside class="warning"><strong>{escape(title)}</strong>{inside}</aside>'
        )

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Figures to see first, each (value, what it is)."""
        cards = "".join(
            f"<div><dd>{escape(value)}</dd><dt>{escape(label)}</dt></div>" for value, label in facts
        )
        self._body.append(f'<dl class="facts">{cards}</dl>')

    def provenance(self, values: Mapping[str, Any], caption: str) -> None:
        """The section that says how a result was made."""
        self.section("How this was made")
        self.table(["", ""], [[key, plain(value)] for key, value in values.items()], caption)

    def pictures(
        self, rows: Sequence[Row], caption: str, columns: Sequence[str] = (), largest: int = 200
    ) -> None:
        """Rows of pictures.

        Args:
            rows: The rows.
            caption: Below them.
            columns: The name above each column.
            largest: Pixels that a picture is wide on the page, at most.
        """
        count = max(len(row.pictures) for row in rows)
        side = "minmax(4.5rem, max-content) " if any(row.name for row in rows) else ""
        cells = [
            f'<span class="column">{escape(c)}</span>'
            for c in (["", *columns] if side and columns else columns)
        ]
        for row in rows:
            cells += [f'<span class="row">{escape(row.name)}</span>'] if side else []
            cells += [_tile(row, i, columns) for i in range(count)]
        style = f"grid-template-columns: {side}repeat({count}, minmax(2.5rem, {largest}px))"
        self._figure(f'<div class="tiles" style="{style}">{"".join(cells)}</div>', caption)

    def flicker(self, before: Row, after: Row, caption: str, largest: int = 200) -> None:
        """Two rows of pictures in one place: a reader sees the first, the second, or each in turn,
        without a script.

        Args:
            before: The first row.
            after: The second, shown at first.
            caption: Below them.
            largest: Pixels that a picture is wide, at most.
        """
        name, count = f"flicker{len(self._body)}", len(before.pictures)
        choices = (("first", before.name), ("second", after.name), ("turns", "in turn"))
        inputs = "".join(
            f'<input type="radio" class="see-{kind}" name="{name}" '
            f'id="{name}-{kind}"{" checked" * (kind == "second")}>'
            f'<label for="{name}-{kind}">{escape(text)}</label>'
            for kind, text in choices
        )
        pairs = "".join(
            f'<span class="pair">{_tile(before, i, ())}{_tile(after, i, ())}</span>'
            for i in range(count)
        )
        style = f"grid-template-columns: repeat({count}, minmax(2.5rem, {largest}px))"
        self._figure(
            f'<div class="flicker">{inputs}<div class="tiles" style="{style}">{pairs}</div></div>',
            caption,
        )

    def wipe(self, before: Row, after: Row, caption: str, largest: int = 320) -> None:
        """Pairs of pictures in one place, with a slider from the first to the second; side by side
        where no script runs.

        Args:
            before: The first of each pair.
            after: The second.
            caption: Below them.
            largest: Pixels that a picture is wide, at most.
        """
        count, self._script = len(before.pictures), _file("wipe.js")
        pairs = "".join(
            f'<span class="pair">{_tile(before, i, ())}{_tile(after, i, ())}</span>'
            for i in range(count)
        )
        slider = (
            '<input type="range" value="50" '
            f'aria-label="{escape(f"from {before.name} to {after.name}")}">'
        )
        names = [f"<span>{escape(row.name)}</span>" for row in (before, after)]
        label = f"<label>{names[0]}{slider}{names[1]}</label>"
        style = f"grid-template-columns: repeat({count}, minmax(2.5rem, {largest}px))"
        self._figure(
            f'<div class="wipe"><div class="tiles" style="{style}">{pairs}</div>{label}</div>',
            caption,
        )

    def clips(self, clips: Sequence[tuple[str, bytes]], caption: str, largest: int = 240) -> None:
        """Video clips that play for ever, each under a name.

        Args:
            clips: The name of each and its bytes, of an MP4.
            caption: Below them.
            largest: Pixels that a clip is wide, at most.
        """
        style = f"grid-template-columns: repeat({min(len(clips), 4)}, minmax(2.5rem, {largest}px))"
        players = "".join(
            f'<span class="tile"><video controls autoplay loop muted playsinline width="100%" '
            f'aria-label="{escape(name)}" '
            f'src="data:video/mp4;base64,{base64.b64encode(content).decode()}"></video>'
            f"<small>{escape(name)}</small></span>"
            for name, content in clips
        )
        self._figure(f'<div class="tiles" style="{style}">{players}</div>', caption)

    def glyphs(
        self,
        pictures: Sequence[tuple[Picture, Sequence[Axis]]],
        alt: str,
        caption: str,
        largest: int = 420,
    ) -> None:
        """Pictures with axes over them (``axes_over``).

        Args:
            pictures: Each picture and its axes.
            alt: The description for those who do not see them.
            caption: Below them.
            largest: Pixels that a picture is wide, at most.
        """
        style = f"grid-template-columns: repeat({len(pictures)}, minmax(2.5rem, {largest}px))"
        drawn = "".join(
            axes_over(picture, axes, f"{alt}, picture {k + 1}")
            for k, (picture, axes) in enumerate(pictures)
        )
        self._figure(f'<div class="tiles" style="{style}">{drawn}</div>', caption)

    def sounds(self, sounds: Sequence[tuple[str, bytes]], caption: str) -> None:
        """Sounds with a player each, under a name; each is the bytes of a WAV."""
        players = "".join(
            f'<span class="tile"><audio controls preload="metadata" aria-label="{escape(name)}" '
            f'src="data:audio/wav;base64,{base64.b64encode(content).decode()}"></audio>'
            f"<small>{escape(name)}</small></span>"
            for name, content in sounds
        )
        style = f"grid-template-columns: repeat({min(len(sounds), 2)}, minmax(2.5rem, 320px))"
        self._figure(f'<div class="tiles" style="{style}">{players}</div>', caption)

    def chart(
        self,
        lines: Sequence[Line],
        x_label: str,
        y_label: str,
        caption: str,
        log: bool = False,
        marks: Sequence[tuple[float, str]] = (),
    ) -> None:
        """A line chart (``line_chart``).

        Args:
            lines: The curves.
            x_label: Below the chart.
            y_label: At its side.
            caption: Below it, and its description.
            log: Whether y is logarithmic.
            marks: Labelled places along x.
        """
        self._figure(line_chart(lines, x_label, y_label, caption, log, marks), caption)

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        caption: str,
        best: Collection[tuple[int, int]] = (),
    ) -> None:
        """A table.

        Args:
            columns: The heading of each column.
            rows: The text of each cell; the first of a row is its heading.
            caption: Below it.
            best: (row, column) of the cells to stress.
        """
        head = "".join(f'<th scope="col">{escape(c)}</th>' for c in columns)
        body = "".join(
            f"<tr>{''.join(cell(text, c, (r, c) in best) for c, text in enumerate(row))}</tr>"
            for r, row in enumerate(rows)
        )
        self._figure(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>",
            caption,
        )

    def scripted(self, cells: Sequence[str], script: str, caption: str, width: int = 240) -> None:
        """Cells of HTML that a script brings to life, the page's only one.

        Args:
            cells: Each cell's HTML, its texts escaped.
            script: The script, which the page's policy names by its hash.
            caption: Below them.
            width: Pixels that a cell is wide.
        """
        self._script = script
        style = f"grid-template-columns: repeat(auto-fill, {width}px)"
        tiles = "".join(f'<span class="tile">{cell}</span>' for cell in cells)
        self._figure(f'<div class="tiles" style="{style}">{tiles}</div>', caption)

    def html(self) -> str:
        """The whole page as text."""
        digest = base64.b64encode(hashlib.sha256(self._script.encode()).digest()).decode()
        policy = f"{POLICY}; script-src 'sha256-{digest}'" if self._script else POLICY
        script = f"<script>{self._script}</script>\n" if self._script else ""
        head = (
            '<meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta '
            'name="color-scheme" content="light dark">'
            f"<title>{escape(self.title)}</title>\n<style>\n{_file('style.css')}</style>"
        )
        body = "\n".join(self._body)
        return (
            f'<!doctype html>\n<html lang="en"><head>{head}</head>\n'
            f"<body><main>\n{body}\n</main>\n{script}</body></html>\n"
        )

    def _figure(self, inside: str, caption: str) -> None:
        self._body.append(f"<figure>{inside}<figcaption>{escape(caption)}</figcaption></figure>")


def _file(name: str) -> str:
    """The text of a file of this package."""
    return files(__package__).joinpath(name).read_text("utf-8")


def _tile(row: Row, index: int, columns: Sequence[str]) -> str:
    """One picture of a row, or an empty place."""
    if index >= len(row.pictures):
        return "<span></span>"
    caption = row.captions[index] if index < len(row.captions) else ""
    column = columns[index] if index < len(columns) else f"picture {index + 1}"
    alt = ", ".join(part for part in (row.name, column, caption) if part)
    image = inline(enlarge(row.pictures[index]), alt)
    small = f"<small>{escape(caption)}</small>" if caption else ""
    return f'<span class="tile">{image}{small}</span>'
