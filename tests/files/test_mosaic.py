"""Siemens' mosaics become the volume that they are tiles of, and pictures that are no slice are
refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dicom_files import SLOPE, enhanced, field, headers, mosaic, write

from unfog.errors import InputError
from unfog.files.dicom import read_dicom
from unfog.files.nifti import write_nifti

pytest.importorskip("pydicom")
AXIAL = np.eye(3)[:2]
SAGITTAL = np.array([[0.0, 1, 0], [0, 0, -1]])
OBLIQUE = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0][:2]


def slices(axes: np.ndarray[Any, Any], way: int = 1, count: int = 5) -> list[Any]:
    return headers(axes, way * 2.5 * np.cross(*axes), count)


@pytest.mark.parametrize("axes", [AXIAL, SAGITTAL, OBLIQUE], ids=["axial", "sagittal", "oblique"])
@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("count", ["field", "csa"])
def test_every_voxel_of_a_mosaic_lies_where_its_value_says(
    tmp_path: Path, axes: np.ndarray[Any, Any], way: int, count: str
) -> None:
    """Slices run along the normal or against it; empty tiles are no slices."""
    volume = read_dicom(write(tmp_path, [mosaic(slices(axes, way), count)]))
    assert volume.data.shape == (6, 4, 5)
    np.testing.assert_allclose(volume.zooms, (0.75, 1.5, 2.5), rtol=1e-5)
    grid = np.stack(np.meshgrid(*map(np.arange, volume.data.shape), indexing="ij"), -1)
    places = grid @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    np.testing.assert_allclose(volume.data, field(places), atol=0.5 * SLOPE + 1e-4)


@pytest.mark.parametrize("way", [1, -1])
def test_a_mosaic_is_what_nibabel_reads(tmp_path: Path, way: int) -> None:
    """An independent reader, whose axes are (rows, columns, slices as stored)."""
    import pydicom
    from nibabel.nicom.dicomwrappers import MosaicWrapper

    file = write(tmp_path, [mosaic(slices(OBLIQUE, way, 9))]) / "im0"
    volume, other = read_dicom(file), MosaicWrapper(pydicom.dcmread(file))
    data = other.get_data().swapaxes(0, 1)[:, :, ::way]
    np.testing.assert_allclose(volume.data, data, atol=1e-4)
    for voxel in ((0, 0, 0), (5, 3, 8), (2, 1, 6)):
        column, row, number = voxel
        stored = number if way == 1 else 8 - number
        place = other.affine @ (row, column, stored, 1) * (-1, -1, 1, 1)
        np.testing.assert_allclose(volume.affine @ (*voxel, 1), place, atol=1e-4)


def test_nobody_in_a_mosaic_is_named_in_what_is_written(tmp_path: Path) -> None:
    volume = read_dicom(write(tmp_path, [mosaic(slices(AXIAL))]))
    content = write_nifti(tmp_path / "scan.nii", volume.data, volume).read_bytes()
    for word in (b"DOE", b"JANE", b"0815", b"1970"):
        assert word not in content


@pytest.mark.parametrize(("kind", "count"), [(["ORIGINAL", "PRIMARY"], "field"), (None, "csa")])
def test_a_mosaic_without_its_type_is_known_by_its_private_fields(
    tmp_path: Path, kind: Any, count: str
) -> None:
    one = mosaic(slices(AXIAL), count)
    one.ImageType = kind
    assert read_dicom(write(tmp_path, [one])).data.shape == (6, 4, 5)


def _damaged() -> Any:
    one = mosaic(slices(AXIAL), count="field")
    one.private_block(0x0029, "SIEMENS CSA HEADER")[0x10].value = b"SV10" + b"\xff" * 40
    return one


def _uneven() -> Any:
    one = mosaic(slices(AXIAL))
    one.private_block(0x0019, "SIEMENS MR HEADER")[0x0A].value = 26  # 6 tiles of 12 rows and more
    one.Rows, one.PixelData = 13, one.PixelData + one.PixelData[: 2 * 18]
    return one


def _without_spacing() -> Any:
    one = mosaic(slices(AXIAL))
    del one.SpacingBetweenSlices, one.SliceThickness
    return one


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: mosaic(slices(AXIAL), count="none"), "how many slices"),
        (lambda: mosaic(slices(AXIAL), normal=False), "which way its slices run"),
        (_damaged, "which way its slices run"),
        (_uneven, "what size"),
        (_without_spacing, "how far they are apart"),
    ],
    ids=["count", "normal", "damaged", "uneven", "spacing"],
)
def test_a_mosaic_that_does_not_say_how_is_refused(tmp_path: Path, make: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"im0 is a mosaic .*{words}.*; convert .* dcm2niix"):
        read_dicom(write(tmp_path, [make()]))


def test_two_mosaics_in_one_series_are_two_volumes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lie in one place, as echoes, times or directions do"):
        read_dicom(write(tmp_path, [mosaic(slices(AXIAL))] * 2))


@pytest.mark.parametrize(
    "kind",
    [
        ["DERIVED", "SECONDARY", "PROJECTION IMAGE"],
        ["DERIVED", "PRIMARY", "MIP", "ND"],
        ["DERIVED", "SECONDARY", "OTHER", "MONTAGE"],
        ["DERIVED", "SECONDARY", "SCREEN SAVE"],
        ["DERIVED", "PRIMARY", "VOLUME", "MAX_IP"],
    ],
)
def test_what_is_no_slice_is_refused(tmp_path: Path, kind: list[str]) -> None:
    series = slices(AXIAL)
    for one in series:
        one.ImageType = kind
    with pytest.raises(InputError, match=r"no slice of a scan .* give the series that was scanned"):
        read_dicom(write(tmp_path, series))


def test_a_projection_in_an_enhanced_file_is_refused(tmp_path: Path) -> None:
    import pydicom

    one = enhanced(slices(AXIAL))
    one.VolumeBasedCalculationTechnique = "MIN_IP"
    with pytest.raises(InputError, match="its type is MIN_IP"):
        read_dicom(write(tmp_path / "whole", [one]))
    one = enhanced(slices(AXIAL))
    kind = pydicom.Dataset()
    kind.FrameType = ["DERIVED", "PRIMARY", "VOLUME", "MAX_IP"]
    one.PerFrameFunctionalGroupsSequence[3].MRImageFrameTypeSequence = [kind]
    with pytest.raises(InputError, match="its type is MAX_IP"):
        read_dicom(write(tmp_path / "frame", [one]))


def test_mosaics_in_an_enhanced_file_are_refused(tmp_path: Path) -> None:
    one = enhanced(slices(AXIAL))
    one.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE", "MOSAIC"]
    with pytest.raises(InputError, match=r"enhanced file of mosaics; convert .* dcm2niix"):
        read_dicom(write(tmp_path, [one]))


@pytest.mark.parametrize("kind", ["ORIGINAL", ["ORIGINAL", "PRIMARY", "IPR", "NORM"], None, [""]])
def test_other_types_are_read(tmp_path: Path, kind: Any) -> None:
    series = slices(AXIAL)
    for one in series:
        one.ImageType = kind
    assert read_dicom(write(tmp_path, series)).data.shape == (6, 4, 5)
