"""A scan as an MRtrix image: the answer of the same scan as NIfTI, in its own format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.rings import make_ring, with_noise

from unfog.dmri.gradient_files import mrtrix_rows, write_mrtrix
from unfog.dmri.simulation.phantom import real_gradients
from unfog.dmri.workflows.denoise import denoise_file
from unfog.dmri.workflows.report import write_report
from unfog.dmri.workflows.tables import Tables
from unfog.errors import InputError
from unfog.files.mif import MifVolume, read_mif, write_mif
from unfog.files.nifti import new_volume, read_nifti, write_nifti

# Slices first, and against the axis; volumes fastest in memory.
LAYOUT = ((1, 2), (-1, 3), (-1, 1), (1, 0))
AFFINE = np.array([[-2.0, 0.3, 0, 5], [0.3, 2, 0, 7], [0, 0, 2.5, 9], [0, 0, 0, 1]])


def test_the_answer_is_that_of_nifti_with_the_table_inside(tmp_path: Path) -> None:
    table = real_gradients()[:40]
    y = with_noise(1000 * make_ring(table, (12, 12, 6)).signal, 30.0)
    plain = new_volume(y, AFFINE)
    write_nifti(tmp_path / "dwi.nii.gz", y, plain)
    write_mrtrix(table, tmp_path / "dwi.b")
    image = MifVolume(plain.data, AFFINE, plain.header, layout=LAYOUT, scheme=mrtrix_rows(table))
    write_mif(tmp_path / "dwi.mif", y, image)
    both = Tables(grad=tmp_path / "dwi.b")
    denoise_file(tmp_path / "dwi.nii.gz", both, tmp_path / "nifti", prior="none")
    summary = denoise_file(tmp_path / "dwi.mif", Tables(), tmp_path / "mif", prior="none")
    expected = read_nifti(tmp_path / "nifti/dwi_denoised.nii.gz")
    found = read_mif(tmp_path / "mif/dwi_denoised.mif.gz")
    # Their tables differ in the last digits.
    assert np.allclose(found.data, expected.data, rtol=1e-6)
    assert np.allclose(found.affine, AFFINE, atol=1e-6)
    assert found.layout == LAYOUT
    assert np.allclose(found.scheme, mrtrix_rows(table))
    assert "mask.mif.gz" in summary["files"]
    assert Path(write_report(tmp_path / "mif")["report"]).is_file()
    # A mask may be an image too.
    mask = tmp_path / "mif/mask.mif.gz"
    again = denoise_file(
        tmp_path / "dwi.mif", Tables(), tmp_path / "masked", mask=mask, prior="none"
    )
    assert again["voxels"] == summary["voxels"]
    # Without a table one must be given.
    write_mif(tmp_path / "bare.mif", y, replace(image, scheme=None))
    with pytest.raises(InputError, match="dw_scheme"):
        denoise_file(tmp_path / "bare.mif", Tables(), tmp_path / "no", prior="none")
    assert not (tmp_path / "no").exists()
