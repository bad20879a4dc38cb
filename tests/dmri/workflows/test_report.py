"""The page about a denoised scan: sticks on fibres along their direction, cones where a cone map
lies beside it.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from support.rings import make_ring, with_noise

from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.simulation.phantom import real_gradients
from unfog.dmri.workflows.denoise import denoise_file
from unfog.dmri.workflows.report import write_report
from unfog.dmri.workflows.tables import Tables
from unfog.files.nifti import new_volume, read_nifti, write_nifti

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
