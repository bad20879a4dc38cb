"""DICOM series to read, written by pydicom: a field that is linear in space, so that every voxel
says where it lies.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SLOPE, INTERCEPT = 0.01, -300.0
GRADIENT = np.array([1.0, -2.0, 0.5])  # a mm to the right, the front, the head
NAME = "DOE^JANE"


def field(places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The value at places (..., 3) in mm to the right, the front and the head."""
    return np.asarray(places @ GRADIENT)


def headers(
    axes: np.ndarray[Any, Any],
    step: np.ndarray[Any, Any],
    count: int = 5,
    shape: tuple[int, int] = (4, 6),
) -> list[Any]:
    """A slice each of (rows, columns) = ``shape``; ``axes`` (2, 3) and ``step`` as DICOM has them:
    to the left, the back and the head.
    """
    pydicom = pytest.importorskip("pydicom")
    series, spacing = pydicom.uid.generate_uid(), (1.5, 0.75)
    made = []
    for k in range(count):
        one = pydicom.Dataset()
        one.SOPClassUID, one.SOPInstanceUID, one.SeriesInstanceUID = (
            pydicom.uid.MRImageStorage,
            pydicom.uid.generate_uid(),
            series,
        )
        one.PatientName, one.PatientID, one.PatientBirthDate, one.StudyDescription = (
            NAME,
            "0815",
            "19700101",
            NAME,
        )
        one.Modality, one.SeriesNumber, one.SliceThickness = "MR", 7, 3.0
        one.Rows, one.Columns = shape
        one.PhotometricInterpretation, one.SamplesPerPixel = "MONOCHROME2", 1
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, 0
        one.PixelSpacing, one.RescaleSlope, one.RescaleIntercept = list(spacing), SLOPE, INTERCEPT
        origin = np.array([12.0, -20.0, 31.0]) + k * step
        one.ImageOrientationPatient = [f"{value:.9f}" for value in axes.ravel()]
        one.ImagePositionPatient = [f"{value:.6f}" for value in origin]
        rows, columns = np.meshgrid(*map(np.arange, shape), indexing="ij")
        left_back_head = (
            origin
            + columns[..., None] * spacing[1] * axes[0]
            + rows[..., None] * spacing[0] * axes[1]
        )
        stored = (field(left_back_head * (-1, -1, 1)) - INTERCEPT) / SLOPE
        one.PixelData = stored.round().astype(np.uint16).tobytes()
        made.append(one)
    return made


def write(folder: Path, slices: list[Any], prefix: str = "im") -> Path:
    """Under names that say nothing of the order in space."""
    pydicom = pytest.importorskip("pydicom")
    folder.mkdir(parents=True, exist_ok=True)
    for k, one in enumerate(slices):
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        one.save_as(folder / f"{prefix}{(7 * k) % 11}", enforce_file_format=True)
    return folder


def enhanced(slices: list[Any]) -> Any:
    """The same slices as one enhanced file of many frames, with the geometry in its functional
    groups.
    """
    pydicom = pytest.importorskip("pydicom")
    whole = pydicom.dcmread(pydicom.filebase.DicomBytesIO(), force=True)
    whole.update({element.tag: element for element in slices[0]})
    for name in (
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        delattr(whole, name)

    def group(**macros: dict[str, Any]) -> Any:
        made = pydicom.Dataset()
        for name, values in macros.items():
            item = pydicom.Dataset()
            for field_name, value in values.items():
                setattr(item, field_name, value)
            setattr(made, name, [item])
        return made

    first = slices[0]
    whole.NumberOfFrames = len(slices)
    whole.SharedFunctionalGroupsSequence = [
        group(
            PixelMeasuresSequence={"PixelSpacing": first.PixelSpacing},
            PlaneOrientationSequence={"ImageOrientationPatient": first.ImageOrientationPatient},
        )
    ]
    whole.PerFrameFunctionalGroupsSequence = [
        group(
            PlanePositionSequence={"ImagePositionPatient": one.ImagePositionPatient},
            PixelValueTransformationSequence={
                "RescaleSlope": one.RescaleSlope,
                "RescaleIntercept": one.RescaleIntercept,
            },
        )
        for one in slices
    ]
    whole.PixelData = b"".join(one.PixelData for one in slices)
    return whole


def siemens_header(**fields: tuple[str, list[str]]) -> bytes:
    """Siemens' private image header (CSA2): the values of each field, after their type."""
    made = b"SV10\4\3\2\1" + struct.pack("<2I", len(fields), 77)
    for name, (kind, values) in fields.items():
        made += struct.pack(
            "<64si4s3i", name.encode(), len(values), kind.encode(), 6, len(values), 77
        )
        for value in values:
            item = value.encode() + b"\0"
            made += struct.pack("<4i", len(item), len(item), 77, len(item))
            made += item + b"\0" * (-len(item) % 4)
    return made


def mosaic(slices: list[Any], count: str = "both", normal: bool = True) -> Any:
    """The same slices as the tiles of one Siemens mosaic, in their order.

    Args:
        slices: As ``headers`` makes them.
        count: Where their number stands: "field", "csa", "both" or "none".
        normal: Whether the private header says which way the slices run.

    Returns:
        The mosaic's data set.
    """
    pydicom = pytest.importorskip("pydicom")
    whole = pydicom.dcmread(pydicom.filebase.DicomBytesIO(), force=True)
    whole.update({element.tag: element for element in slices[0]})
    side = int(np.ceil(np.sqrt(len(slices))))
    rows, columns = whole.Rows, whole.Columns
    tiles = np.zeros((side * rows, side * columns), np.uint16)
    for k, one in enumerate(slices):
        down, across = divmod(k, side)
        tile = np.frombuffer(one.PixelData, np.uint16).reshape(rows, columns)
        tiles[rows * down : rows * (down + 1), columns * across : columns * (across + 1)] = tile
    whole.Rows, whole.Columns, whole.PixelData = *tiles.shape, tiles.tobytes()
    whole.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    # The scanner states where the corner would be if a tile had the mosaic's size.
    first, second = (np.array(one.ImagePositionPatient, float) for one in slices[:2])
    axes = np.array(whole.ImageOrientationPatient, float).reshape(2, 3)
    corner = first - (side - 1) / 2 * (rows * 1.5 * axes[1] + columns * 0.75 * axes[0])
    whole.ImagePositionPatient = [f"{value:.6f}" for value in corner]
    step = second - first
    whole.SpacingBetweenSlices = f"{np.linalg.norm(step):.6f}"
    if count in ("field", "both"):
        block = whole.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0A, "US", len(slices))
    fields = {"ImaCoilString": ("LO", [NAME])}
    if count in ("csa", "both"):
        fields["NumberOfImagesInMosaic"] = ("US", [str(len(slices))])
    if normal:
        unit = step / np.linalg.norm(step)
        fields["SliceNormalVector"] = ("FD", [f"{value:.8f}" for value in unit])
    block = whole.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", siemens_header(**fields))
    return whole
