"""Pictures in DICOM that are no slice: Siemens' mosaics, whose tiles are the slices of a volume;
and montages, projections and reformats, which are refused.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unfog.errors import InputError
from unfog.files.dicom_volume import PARALLEL, Floats, Slice

# Words in ImageType and VolumeBasedCalculationTechnique (PS3.3, C.8.3.1.1.1 and C.8.16.2.1.3).
NO_SLICE = frozenset(
    (
        *("COLLAPSE", "IP", "MAXIP", "MINIP", "MIP", "MNIP", "PROJECTED", "PROJECTION"),
        *("MONTAGE", "RENDER", "RENDERED", "SAVE", "SCREENSAVE", "SCREENSHOT", "SSD", "VRT"),
    )
)
COUNT = (0x0019, "SIEMENS MR HEADER", 0x0A)  # the private field of a mosaic's number of slices
REMEDY = "convert the series with dcm2niix and give the NIfTI"


def require_slice(file: Path, header: Any) -> None:
    """``InputError`` for a picture, or a frame by its functional groups, that its header calls a
    montage, a projection or a reformat.
    """
    for name in _types(header, "ImageType", "FrameType", "VolumeBasedCalculationTechnique"):
        if NO_SLICE & set(re.split(r"[ _]", name.upper())):
            raise InputError(
                f"{file.name} is no slice of a scan but made of several (its type is {name}); give "
                "the series that was scanned."
            )


def is_mosaic(header: Any) -> bool:
    """Whether a picture is a Siemens mosaic, by its type or its private number of slices."""
    types = _types(header, "ImageType")
    if "MOSAIC" in types or _private_count(header) > 1:
        return True
    # Siemens' own header takes a while to read, so it is asked where the type was taken out.
    return not types and _stated_count(_siemens_header(header)) > 1


def _types(header: Any, *fields: str) -> list[str]:
    """The values of fields of text, which pydicom gives as one where there is one alone."""
    values = [header.get(field) or [] for field in fields]
    lists = [[value] if isinstance(value, str) else list(value) for value in values]
    return [str(one) for values in lists for one in values if one]


def tiles_of(whole: Slice) -> list[Slice]:
    """The slices in a Siemens mosaic, tile by tile from the top left.

    Its ImagePositionPatient is where the corner of one tile would be if the tile had the mosaic's
    size about the same centre, so the first tile begins half the difference later:

        position of slice k = stated + (rows - rows / n) / 2 down
                              + (columns - columns / n) / 2 across + k spacing normal

    with n tiles to a side; ``normal`` is the sign of the private header's SliceNormalVector times
    the product of the axes (https://nipy.org/nibabel/dicom/dicom_mosaic.html).

    Args:
        whole: The mosaic as if it were a slice.

    Returns:
        Its slices.

    Raises:
        InputError: The header does not say how many slices there are, which way they run or how
            far they are apart.
    """
    count, normal = _private(whole)
    tiles = math.ceil(math.sqrt(count))
    spacing = float(
        whole.facts.get("SpacingBetweenSlices") or whole.facts.get("SliceThickness") or 0
    )
    rows, columns = whole.size
    if rows % tiles or columns % tiles or not spacing > 0:
        raise _unclear(whole, "what size its slices are or how far they are apart")
    across, down = whole.axes
    size = (rows // tiles, columns // tiles)
    first = (
        whole.position
        + (rows - size[0]) / 2 * whole.spacing[0] * down
        + (columns - size[1]) / 2 * whole.spacing[1] * across
    )
    step = spacing * normal
    return [
        replace(whole, frame=k, size=size, position=first + k * step, tiles=tiles)
        for k in range(count)
    ]


def _private(whole: Slice) -> tuple[int, Floats]:
    """The number of slices, and the unit vector (3,) from one to the next."""
    csa = _siemens_header(whole.facts)
    count = _private_count(whole.facts) or _stated_count(csa)
    if count < 1:
        raise _unclear(whole, "how many slices it holds")
    normal = np.cross(*whole.axes)
    stated = np.array(csa.get("SliceNormalVector", {}).get("items", []), np.float64)
    along = float(stated @ normal) if stated.shape == (3,) else 0.0
    if not abs(abs(along) - 1) < PARALLEL:
        raise _unclear(whole, "which way its slices run")
    return count, np.asarray(np.sign(along) * normal)


def _private_count(header: Any) -> int:
    """The number of slices in the private field ``COUNT``, 0 where there is none."""
    group, creator, element = COUNT
    try:
        return int(header.private_block(group, creator)[element].value)
    except (KeyError, TypeError, ValueError):
        return 0


def _siemens_header(header: Any) -> dict[str, Any]:
    """The fields of Siemens' image header (0029,1010), none where it is missing or damaged."""
    from nibabel.nicom import csareader  # it warns that it is young, so within ``reading`` alone

    broken = (csareader.CSAError, AssertionError, ValueError, TypeError, struct.error)
    try:
        csa = csareader.get_csa_header(header)  # type: ignore[no-untyped-call]
    except broken:
        csa = None
    return dict(csa["tags"]) if csa else {}


def _stated_count(csa: dict[str, Any]) -> int:
    """The number of slices in Siemens' image header, 0 where it does not say."""
    items = csa.get("NumberOfImagesInMosaic", {}).get("items", [])
    return int(items[0]) if items and isinstance(items[0], int) else 0


def _unclear(whole: Slice, what: str) -> InputError:
    """The error of a mosaic whose private header does not say ``what``."""
    return InputError(
        f"{whole.file.name} is a mosaic of slices whose private header does not say {what}; "
        f"{REMEDY}."
    )
