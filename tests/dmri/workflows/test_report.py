"""The page about a denoised scan: sticks on fibres along their direction, cones where a cone map
lies beside it.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from support.rings import make_ring, with_noise

from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.simulation.phantom import real_gradients
from unfog.dmri.workflows.denoise import denoise_file
from unfog.dmri.workflows.report import write_report
from unfog.dmri.workflows.tables import Tables
from unfog.files.nifti import new_volume, read_nifti, write_nifti
from unfog.report import with_sides

AFFINE = np.diag([-2.0, 2, 2, 1])  # x is stored from the right to the left
SIDE = 20


def test_sticks_and_cones(tmp_path: Path) -> None:
    table = real_gradients()[:40]
    ring = make_ring(table, (SIDE, SIDE, 6))
    y = with_noise(1000 * ring.signal, 30.0)[::-1].copy()  # upright again under the affine
    write_nifti(tmp_path / "dwi.nii.gz", y, new_volume(y, AFFINE))
    write_fsl(table, tmp_path / "b", tmp_path / "v", AFFINE)
    denoise_file(
        tmp_path / "dwi.nii.gz",
        Tables(tmp_path / "b", tmp_path / "v"),
        tmp_path / "out",
        prior="none",
    )
    html = (tmp_path / "out/report.html").read_text("utf-8")
    drawing = re.findall(r'<svg class="glyphs".*?</svg>', html, re.DOTALL)[0]
    sticks = np.array(
        [
            [float(v) for v in re.findall(r"-?[\d.]+", d)]
            for d in re.findall(r'<path d="([^"]*)"', drawing)
        ]
    )
    assert len(sticks) == ring.fibrous[:, :, 0].sum()
    middle, along = (sticks[:, :2] + sticks[:, 2:]) / 2 - SIDE / 2, sticks[:, 2:] - sticks[:, :2]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    aside = np.abs((along * middle).sum(1)) / np.linalg.norm(middle, axis=1)
    assert np.degrees(np.arcsin(aside)).mean() < 4  # around the ring, at right angles to its radius
    assert 'class="cone"' not in html

    after = read_nifti(tmp_path / "out/dwi_denoised.nii.gz")
    write_nifti(
        tmp_path / "out/direction.nii.gz",
        np.broadcast_to([1.0, 0, 0], (*after.data.shape[:3], 3)),
        after,
    )
    write_nifti(tmp_path / "out/cone95.nii.gz", np.full(after.data.shape[:3], 25.0), after)
    write_report(tmp_path / "out")
    html = (tmp_path / "out/report.html").read_text("utf-8")
    assert html.count('class="cone"') == html.count('class="thin"') == 2 * len(sticks)
    assert "the cone that holds it with 95 %" in html


def test_what_a_physicist_asks(tmp_path: Path) -> None:
    """The page names the slice that dropped out, the drift, sides, and what was not corrected."""
    # b = 0 spread over the scan.
    table = real_gradients()[np.r_[0, 6:15, 1, 15:24, 2, 24:32, 3]]
    y = with_noise(1000 * make_ring(table, (26, 26, 8)).signal, 20.0)
    y *= np.linspace(1, 0.9, 30, dtype=np.float32)
    y[:, :, 4, 21] *= 0.3
    write_nifti(tmp_path / "dwi.nii", y, new_volume(y, np.diag([2.0, 2, 2, 1])))
    write_fsl(table, tmp_path / "b", tmp_path / "v", np.diag([2.0, 2, 2, 1]))
    tables = Tables(tmp_path / "b", tmp_path / "v")
    summary = denoise_file(tmp_path / "dwi.nii", tables, tmp_path / "out", prior="none")
    assert summary["slices dropped out"] == [[2, 4, 21]]
    assert summary["b0 drift in %"] == pytest.approx(-10, abs=1)
    before, after = summary["b0 mean over deviation"]
    assert after > before
    shells = summary["removed over noise by shell"]
    assert all(abs(one["mean"]) < 0.1 and 0.8 < one["deviation"] < 1.2 for one in shells.values())
    html = (tmp_path / "out/report.html").read_text("utf-8")
    for words in ("z 4 of volume 21", "Gibbs ringing", "left (L)", "drift of b = 0"):
        assert words in html


def test_sides_are_marked() -> None:
    """L in the upper left corner and R in the upper right; a tiny picture stays as it is."""
    marked = with_sides(np.full((30, 40, 3), 90, np.uint8))
    assert (marked[1:6, 1, 0] == 255).all()
    assert (marked[1:6, 36, 0] == 255).all()
    assert (marked[6:] == 90).all()
    small = np.full((8, 8, 3), 90, np.uint8)
    assert (with_sides(small) == small).all()
