"""Pictures in one place and axes over pictures: where they lie, and that no script and no foreign
text is in them.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from unfog.report import Axis, Page, Row, axes_over, grey

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
    svg = axes_over(
        PICTURE, [Axis(0, 0, 1, 0, (255, 0, 0), 20.0), Axis(2, 2, 0, 1, (0, 255, 0))], ""
    )
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


def test_a_slider_runs_the_one_script_that_the_page_allows() -> None:
    page = Page("")
    for _ in range(2):
        page.wipe(Row(NASTY, [PICTURE] * 3), Row("after", [PICTURE] * 3), NASTY)
    html = page.html()
    [script] = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert "alert(" not in script
    assert html.index("<script>") > html.rindex(
        'class="wipe"'
    )  # what it looks for is there when it runs
    assert html.count('<input type="range"') == html.count("aria-label=") == 2


def test_without_a_slider_there_is_no_script() -> None:
    page = Page("")
    page.flicker(Row("before", [PICTURE]), Row("after", [PICTURE]), "")
    assert "script" not in page.html()


def test_without_a_script_both_pictures_show_side_by_side() -> None:
    """The second picture leaves the first one's place, and is cut, only under the class that the
    script sets.
    """
    page = Page("")
    page.wipe(Row("before", [PICTURE]), Row("after", [255 - PICTURE]), "")
    html = page.html()
    assert html.count("<img") == 2
    assert 'class="wipe"' in html  # not live
    assert ".wipe:not(.live) .tile + .tile { grid-area: 1 / 2; }" in html
    for rule in re.findall(r"^.*clip-path.*$", html, re.MULTILINE):
        assert rule.startswith(".wipe.live ")


@pytest.mark.slow
def test_the_slider_moves_the_line_in_a_browser(tmp_path: Path) -> None:
    """What the script leaves of the page, in a browser that keeps to the page's policy."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no browser")
    page = Page("")
    page.wipe(Row("before", [PICTURE]), Row("after", [PICTURE]), "")
    (tmp_path / "page.html").write_text(page.html(), "utf-8")
    line = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/profile",
        "--dump-dom",
    ]
    done = subprocess.run(
        [*line, (tmp_path / "page.html").as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert '<div class="wipe live" style="--at: 50%;">' in done.stdout
