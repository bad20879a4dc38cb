"""The report is one file that fetches nothing, says what it was given and no more, and whose
pictures are pictures.
"""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unfog.errors import InputError
from unfog.files.output import write_text
from unfog.report import Line, Page, Row, colour, grey, mosaic, png
from unfog.report.chart import log_ticks, ticks

NASTY = "<script>alert('x')</script> & \"quoted\""


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page() -> Page:
    """A page with one of everything, each given a text that must be escaped."""
    ramp = np.linspace(0, 1, 48).reshape(8, 6)
    page = Page(NASTY, NASTY)
    page.facts([(NASTY, NASTY)])
    page.warning(NASTY, NASTY)
    page.section(NASTY, NASTY)
    page.pictures(
        [Row(NASTY, [grey(ramp), colour(ramp)], [NASTY]), Row("", [grey(ramp)])],
        NASTY,
        [NASTY, "b"],
    )
    page.chart(
        [Line([1, 2, 3], [1, 0.1, 0.01], NASTY)], NASTY, NASTY, NASTY, log=True, marks=[(2, NASTY)]
    )
    page.table([NASTY, "b"], [[NASTY, NASTY]], NASTY, best=[(0, 1)])
    return page


def test_everything_is_in_the_file_and_nothing_runs() -> None:
    html = page().html()
    tags = Reader(html).tags
    assert not {tag for tag, _ in tags} & {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    }
    assert "http:" not in html
    assert "https:" not in html
    assert "url(" not in html
    assert "@import" not in html
    addresses = [
        value
        for _, attributes in tags
        for key, value in attributes.items()
        if key in ("src", "href", "srcset", "xlink:href")
    ]
    assert addresses
    assert all(
        value is not None and value.startswith("data:image/png;base64,") for value in addresses
    )
    assert not [key for _, attributes in tags for key in attributes if key.startswith("on")]


def test_texts_are_shown_as_they_are() -> None:
    reader = Reader(page().html())
    assert reader.text.count(NASTY) >= 12
    assert any(
        NASTY in str(attributes.get("alt")) for tag, attributes in reader.tags if tag == "img"
    )


def test_pictures_decode_and_have_an_alternative_text() -> None:
    images = [attributes for tag, attributes in Reader(page().html()).tags if tag == "img"]
    assert len(images) == 3
    for attributes in images:
        assert attributes["alt"]
        data = base64.b64decode(str(attributes["src"]).partition(",")[2], validate=True)
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.size == (6 * 53, 8 * 53)  # whole pixels: 53 is 320 / 6, rounded


def test_every_tag_is_closed_in_order() -> None:
    void, open_tags = {"meta", "img", "br"}, []
    for closing, tag in re.findall(
        r"<(/?)([a-z][a-z0-9]*)[^>]*>",
        re.sub(r"<style>.*?</style>", "", page().html(), flags=re.DOTALL),
    ):
        if closing:
            assert open_tags.pop() == tag
        elif tag not in void and tag != "path":
            open_tags.append(tag)
    assert open_tags == []


def test_page_is_written_whole(tmp_path: Path) -> None:
    path = write_text(tmp_path / "report.html", page().html())
    assert path.read_text("utf-8") == page().html()
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_grey_levels_are_exact_and_clipped() -> None:
    image = np.array([[-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]])
    assert grey(image)[0, :, 0].tolist() == [0, 0, 128, 255, 255, 0]
    with Image.open(io.BytesIO(png(grey(image)))) as shown:
        assert np.array_equal(np.asarray(shown), grey(image))


def test_mosaic_puts_pictures_apart() -> None:
    white = grey(np.ones((2, 3)))
    joined = mosaic([[white, white], [white]], gap=1)
    assert joined.shape == (5, 7, 3)
    assert joined[..., 0].sum() == 3 * 6 * 255
    assert not joined[2].any()
    assert not joined[:, 3].any()


def test_a_picture_needs_two_axes() -> None:
    with pytest.raises(InputError, match="2-D"):
        grey(np.zeros((1, 2, 3)))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 137), (3, 4.5), (-2, 2)])
def test_ticks_are_round_and_within(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 12
    assert all(low <= t <= high for t in found)
    assert np.allclose(np.diff(found), found[1] - found[0])


def test_log_ticks() -> None:
    assert log_ticks(0.09, 1.1) == pytest.approx([0.1, 0.2, 0.5, 1.0])


def chart(**options: Any) -> str:
    page = Page("")
    page.chart([Line([1, 2], [0.0, float("nan")], "none")], "x", "y", "a chart", **options)
    return page.html()


def test_a_chart_of_nothing_says_so() -> None:
    assert "nothing was recorded" in chart(log=True)
    assert "<polyline" in chart()
