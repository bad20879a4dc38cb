"""DICOM series: every voxel of a field that is linear in space lies where its value says, and what
cannot be placed is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dicom_files import NAME, SLOPE, enhanced, field, headers, write

from unfog.data.dataset import open_dataset
from unfog.data.volumes import scaled
from unfog.errors import InputError, MissingExtra
from unfog.files.dicom import read_dicom
from unfog.files.nifti import Volume, read_nifti, write_nifti
from unfog.files.orientation import upright

pytest.importorskip("pydicom")
AXIAL = np.eye(3)[:2]
SAGITTAL = np.array([[0.0, 1, 0], [0, 0, -1]])
CORONAL = np.array([[1.0, 0, 0], [0, 0, -1]])
OBLIQUE = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0][:2]


def across(axes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(2.5 * np.cross(*axes))


def check_places(volume: Volume) -> None:
    """Each voxel's value is the field's at the place that the affine gives it, to the rounding of
    what is stored.
    """
    grid = np.stack(np.meshgrid(*map(np.arange, volume.data.shape), indexing="ij"), -1)
    np.testing.assert_allclose(
        volume.data,
        field(grid @ volume.affine[:3, :3].T + volume.affine[:3, 3]),
        atol=0.5 * SLOPE + 1e-4,
    )


@pytest.mark.parametrize(
    "axes", [AXIAL, SAGITTAL, CORONAL, OBLIQUE], ids=["axial", "sagittal", "coronal", "oblique"]
)
@pytest.mark.parametrize("way", [1, -1])
def test_every_voxel_lies_where_its_value_says(
    tmp_path: Path, axes: np.ndarray[Any, Any], way: int
) -> None:
    volume = read_dicom(write(tmp_path / "scan", headers(axes, way * across(axes))))
    assert volume.data.shape == (6, 4, 5)
    np.testing.assert_allclose(volume.zooms, (0.75, 1.5, 2.5), rtol=1e-5)
    check_places(volume)
    again = read_nifti(write_nifti(tmp_path / "scan.nii.gz", volume.data, volume))
    assert again.notes == ()
    check_places(again)


def test_an_axial_series_has_the_affine_of_the_standard(tmp_path: Path) -> None:
    """Left and back become minus right and minus front; slice 0 is the lowest."""
    volume = read_dicom(write(tmp_path / "scan", headers(AXIAL, -across(AXIAL))))
    np.testing.assert_allclose(
        volume.affine,
        [[-0.75, 0, 0, -12], [0, -1.5, 0, 20], [0, 0, 2.5, 21], [0, 0, 0, 1]],
        atol=1e-6,
    )


def test_a_tilted_gantry_stays_tilted(tmp_path: Path) -> None:
    volume = read_dicom(write(tmp_path / "scan", headers(AXIAL, np.array([0, 0.6, 2.5]))))
    check_places(volume)
    assert "13.5 degrees" in volume.notes[0]
    again = read_nifti(write_nifti(tmp_path / "scan.nii", volume.data, volume))
    assert again.notes == ()
    check_places(again)


def test_slices_have_slopes_of_their_own(tmp_path: Path) -> None:
    slices = headers(OBLIQUE, across(OBLIQUE))
    for k, one in enumerate(slices):
        stored = np.frombuffer(one.PixelData, np.uint16).astype(float)
        one.RescaleSlope, one.RescaleIntercept = SLOPE * (k + 1), -300 - 10 * k
        one.PixelData = (
            ((SLOPE * stored + 10 * k) / one.RescaleSlope).round().astype(np.uint16).tobytes()
        )
    volume = read_dicom(write(tmp_path / "scan", slices))
    grid = np.stack(np.meshgrid(*map(np.arange, volume.data.shape), indexing="ij"), -1)
    places = grid @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert float(np.abs(volume.data - field(places)).max()) < 0.5 * SLOPE * 5 + 1e-3


def test_an_enhanced_file_and_a_single_slice(tmp_path: Path) -> None:
    slices = headers(OBLIQUE, across(OBLIQUE))
    series = read_dicom(write(tmp_path / "scan", slices))
    whole = read_dicom(
        write(tmp_path / "enhanced", [enhanced(headers(OBLIQUE, across(OBLIQUE)))]) / "im0"
    )
    np.testing.assert_array_equal(whole.data, series.data)
    np.testing.assert_allclose(whole.affine, series.affine, atol=1e-9)
    one = read_dicom(tmp_path / "scan" / "im0")
    assert one.data.shape == (6, 4, 1)
    assert one.zooms[2] == pytest.approx(3.0)  # its thickness
    check_places(one)


def test_run_length_encoding_needs_no_other_package(tmp_path: Path) -> None:
    from pydicom.uid import RLELossless

    folder = write(tmp_path / "scan", headers(AXIAL, across(AXIAL)))
    plain = read_dicom(folder)
    import pydicom

    for file in folder.iterdir():
        one = pydicom.dcmread(file)
        one.compress(RLELossless)
        one.save_as(file)
    np.testing.assert_array_equal(read_dicom(folder).data, plain.data)


def test_nobody_is_named_in_what_is_written(tmp_path: Path) -> None:
    volume = read_dicom(write(tmp_path / "scan", headers(AXIAL, across(AXIAL))))
    content = write_nifti(tmp_path / "scan.nii", volume.data, volume).read_bytes()
    for word in (NAME.encode(), b"JANE", b"0815", b"1970"):
        assert word not in content


def test_a_folder_of_series_is_a_data_set(tmp_path: Path) -> None:
    first, second = headers(AXIAL, across(AXIAL)), headers(AXIAL, -across(AXIAL), count=3)
    volumes = [
        read_dicom(write(tmp_path / "one", first)),
        read_dicom(write(tmp_path / "two", second)),
    ]
    (tmp_path / "notes.txt").write_text("what else lies there")
    data = open_dataset(tmp_path, dims=3, size=[6, 4, 3])
    assert (data.name, data.shape, len(data)) == ("dicom", (1, 6, 4, 3), 2)
    expected = scaled(upright(volumes[1]))
    np.testing.assert_array_equal(data.batch([1])["x"][0, 0], expected)
    assert open_dataset(tmp_path, least=0.0).shape == (1, 4, 6)


def _change(**values: Any) -> Callable[[list[Any]], list[Any]]:
    def changed(slices: list[Any]) -> list[Any]:
        for name, value in values.items():
            setattr(slices[2], name, value)
        return slices

    return changed


def _wider(slices: list[Any]) -> list[Any]:
    wide = headers(AXIAL, across(AXIAL), shape=(4, 8))[2]
    wide.SeriesInstanceUID = slices[0].SeriesInstanceUID
    return [*slices[:2], wide, *slices[3:]]


def _other(slices: list[Any]) -> list[Any]:
    more = headers(AXIAL, across(AXIAL), count=2)
    for one in more:
        one.SeriesNumber = 9
    return [*slices, *more]


def _without(field_name: str) -> Callable[[list[Any]], list[Any]]:
    def changed(slices: list[Any]) -> list[Any]:
        delattr(slices[2], field_name)
        return slices

    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda slices: slices[:2] + slices[3:],
            "it is 5 mm, elsewhere 2.5 mm: slices are missing",
        ),
        (_change(ImagePositionPatient=[12, -20, 36.2]), "missing or uneven"),
        (_change(ImagePositionPatient=[14, -20, 36]), "missing or uneven"),
        (_change(ImagePositionPatient=[12, -20, 33.5]), "lie in one place"),
        (_wider, "another size, spacing or direction"),
        (_change(PixelSpacing=[1.5, 0.8]), "another size, spacing or direction"),
        (_change(ImageOrientationPatient=[0, 1, 0, 1, 0, 0]), "another size, spacing or direction"),
        (_change(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "not at right angles"),
        (_change(PixelSpacing=[0, 0.75]), "PixelSpacing of 0"),
        (_without("ImagePositionPatient"), "has no ImagePositionPatient of 3 numbers"),
        (_without("PixelSpacing"), "has no PixelSpacing of 2 numbers"),
        (_change(PhotometricInterpretation="RGB", SamplesPerPixel=3), "a picture in RGB"),
        (_change(PhotometricInterpretation="PALETTE COLOR"), "a picture in PALETTE COLOR"),
        (_change(NumberOfFrames=2), "does not say where each lies"),
        (_change(PixelData=b"\0\0"), "truncated or damaged"),
        (_other, "holds 2 series (MR 7, 5 slices, such as im0; MR 9, 2 slices, such as"),
        (lambda slices: [], "holds no DICOM images"),
    ],
)
def test_what_cannot_be_placed_is_refused(
    tmp_path: Path, change: Callable[[list[Any]], list[Any]], words: str
) -> None:
    folder = write(tmp_path / "scan", change(headers(AXIAL, across(AXIAL))))
    with pytest.raises(InputError) as refused:
        read_dicom(folder)
    assert words in str(refused.value)
    assert "JANE" not in str(refused.value)


def test_a_cut_file_and_one_without_a_decoder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pydicom.uid import JPEG2000Lossless

    folder = write(tmp_path / "cut", headers(AXIAL, across(AXIAL)))
    for size, words in (
        (140, "truncated or damaged|holds no DICOM"),
        (-10, "truncated or damaged"),
    ):
        (folder / "im0").write_bytes((folder / "im0").read_bytes()[:size])
        with pytest.raises(InputError, match=words):
            read_dicom(folder / "im0")
        write(folder, headers(AXIAL, across(AXIAL)))
    slices = headers(AXIAL, across(AXIAL), count=1)
    import pydicom

    write(tmp_path / "packed", slices)
    file = tmp_path / "packed" / "im0"
    packed = pydicom.dcmread(file)
    packed.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51not a picture"])
    packed["PixelData"].VR = "OB"
    packed.file_meta.TransferSyntaxUID = JPEG2000Lossless
    packed.save_as(file)
    for found, words in ((True, r"is damaged, or compressed \(JPEG 2000"), (False, "add one")):
        monkeypatch.setattr("unfog.files.dicom_volume._decodes", lambda syntax, found=found: found)
        with pytest.raises(InputError, match=words):
            read_dicom(file)
    assert not caplog.records  # pydicom would log a traceback


def test_without_the_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "scan", headers(AXIAL, across(AXIAL)))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtra, match=r"unfog\[dicom\]"):
        read_dicom(folder)
