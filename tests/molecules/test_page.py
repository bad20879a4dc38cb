"""The report of molecules, in a browser that keeps to the page's policy."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from unfog.molecules.molecule import Molecule

pytest.importorskip("rdkit")
VIEWER = "06b6d2fc7d418e8b"  # 3Dmol.js 2.4.2


def water() -> Molecule:
    places = [[0, 0, 0.12], [0, 0.76, -0.48], [0.05, -0.76, -0.48]]
    return Molecule(np.array([8, 1, 1]), np.array(places), "<water>")


def page() -> str:
    from unfog.molecules.metrics import report
    from unfog.molecules.workflows.page import page_of

    drawn = [water(), Molecule(np.array([8, 1]), np.array([[0, 0, 0], [0, 0, 5.0]]), "apart")]
    return page_of(drawn, report(drawn).figures(), {"run": "mine", "samples": 2}).html()


def test_figures_have_intervals_and_names_are_escaped() -> None:
    text = page()
    assert "50.0 %" in text
    assert "<water>" not in text
    assert "://" not in re.sub(r"<script>.*</script>", "", text, flags=re.DOTALL)


def test_molecules_turn_in_a_browser(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no browser")
    path = tmp_path / "report.html"
    path.write_text(page())
    flags = ["--headless", "--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]
    done = subprocess.run(
        [chromium, *flags, "--virtual-time-budget=4000", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert re.findall(r'data-atoms="(\d)"', done.stdout) == ["3", "2"]
    assert done.stdout.count("<canvas") >= 2


def test_the_viewer_is_the_pinned_one() -> None:
    content = (files("unfog.molecules") / "viewer" / "3Dmol-min.js").read_bytes()
    assert hashlib.sha256(content).hexdigest().startswith(VIEWER)
