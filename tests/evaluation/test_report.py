"""Pictures in one place and axes over pictures: where they lie, and that no script and no foreign text is in them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from unfog.evaluation.report import Axis, Page, Row, axes_over, grey

NASTY = "<script>alert('x')</script> & \"quoted\""
PICTURE = grey(np.linspace(0, 1, 24).reshape(4, 6))


def numbers(path: str) -> list[float]:
    return [float(x) for x in re.findall(r"-?\d+\.?\d*", path)]


def test_a_stick_goes_through_its_pixel_up_and_right() -> None:
    svg = axes_over(PICTURE, [Axis(1, 4, 0.6, 0.8, (255, 0, 300))], NASTY)
    x0, y0, x1, y1 = numbers(re.findall(r'<path d="([^"]*)"', svg)[0])
    assert (x0 + x1) / 2 == pytest.approx(4.5)
    assert (y0 + y1) / 2 == pytest.approx(1.5)
    assert x1 - x0 == pytest.approx(0.92 * 0.6, abs=0.01)
    assert y1 - y0 == pytest.approx(-0.92 * 0.8, abs=0.01)  # rows go down
    assert 'stroke="#ff00ff"' in svg
    assert 'viewBox="0 0 6 4"' in svg
    assert "<script" not in svg


def test_a_cone_is_as_wide_as_it_says() -> None:
    svg = axes_over(PICTURE, [Axis(0, 0, 1, 0, (255, 0, 0), 20.0), Axis(2, 2, 0, 1, (0, 255, 0))], "")
    [cone] = re.findall(r'<path class="cone" d="([^"]*)"', svg)
    x, y, ax, ay, bx, by = numbers(cone)[:6]
    assert (x, y) == (0.5, 0.5)
    assert np.degrees(np.arctan2(abs(by - ay) / 2, ax - x)) == pytest.approx(20, abs=1)
    assert ax == bx


def test_two_pictures_in_one_place() -> None:
    page = Page("")
    for _ in range(2):
        page.flicker(Row(NASTY, [PICTURE] * 3), Row("after", [PICTURE] * 3), NASTY)
    html = page.html()
    assert html.count("<img") == 12
    assert html.count(" checked>") == 2
    names = re.findall(r'id="([^"]*)"', html)
    assert len(names) == len(set(names)) == 6
    assert re.findall(r'for="([^"]*)"', html) == names
    assert "<script" not in html
    assert "default-src 'none'" in html
