"""The header of a NIfTI file, checked before the voxels are read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from unfog.errors import InputError


def read_header(file: Path, stream: IO[bytes]) -> Any:
    """The header at the start of a stream, NIfTI-1 or NIfTI-2 by its magic number."""
    raw = stream.read(540)
    kinds: Any = ((nib.Nifti1Header, 348, raw[344:348]), (nib.Nifti2Header, 540, raw[4:8]))
    for kind, size, magic in kinds:
        if magic in (b"n+1\0", b"n+2\0") and len(raw) >= size:
            try:
                return kind(raw[:size], check=False)
            except (WrapStructError, HeaderDataError) as error:
                raise InputError(
                    f"{file.name} has a damaged NIfTI header; copy it again."
                ) from error
    raise InputError(
        f"{file.name} is not a single-file NIfTI volume (.nii, .nii.gz) or is truncated; convert "
        "or copy it again."
    )


def checked_layout(
    file: Path, header: Any, cap: int, most: int
) -> tuple[tuple[int, ...], int, int]:
    """Where the voxels lie, checked against the file before anything is allocated.

    Args:
        file: The file, for errors.
        header: Its header.
        cap: The largest number of voxels.
        most: The most bytes that the unpacked file can have.

    Returns:
        The shape (X, Y, Z[, T]), and the start and the size of the voxels in bytes.

    Raises:
        InputError: Dimensions, type or offset are unusable, or the file is too short for them.
    """
    # Dimensions, without trailing ones of 1.
    count = int(header["dim"][0])
    dims = [int(d) for d in header["dim"][1 : count + 1]] if 2 <= count <= 7 else []
    while len(dims) > 3 and dims[-1] == 1:
        dims.pop()
    if not 2 <= len(dims) <= 4 or min(dims) < 1:
        raise InputError(
            f"{file.name} has dim {header['dim'].tolist()}; 2 to 4 positive dimensions are read."
        )
    voxels = math.prod(dims)
    if voxels > cap:
        raise InputError(
            f"{file.name} claims {voxels} voxels in dim and at most {cap} are read; crop it or "
            "raise the cap."
        )
    # The type of the voxels.
    try:
        kind = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise InputError(
            f"{file.name} has the unknown datatype {int(header['datatype'])}; convert it to "
            "float32."
        ) from error
    if kind.fields or kind.kind not in "iuf":
        raise InputError(
            f"{file.name} holds {kind} voxels in datatype; convert it to real numbers."
        )
    # Where the voxels start and end.
    offset = float(header["vox_offset"])
    size = voxels * kind.itemsize
    least = 352 if int(header["sizeof_hdr"]) == 348 else 544
    if not least <= offset <= most or offset != int(offset):
        raise InputError(f"{file.name} has a bad vox_offset of {offset}; copy or convert it again.")
    if int(offset) + size > most:
        raise InputError(
            f"{file.name} is truncated: dim asks for {size} bytes of voxels and the file cannot "
            "hold them; copy it again."
        )
    shape = tuple(dims) if len(dims) > 2 else (*dims, 1)
    return shape, int(offset), size


def checked_affine(
    file: Path, header: Any, shape: tuple[int, ...], notes: list[str]
) -> NDArray[np.float64]:
    """The affine by the sform, the qform, or nibabel's default, in this order.

    Args:
        file: The file, for errors.
        header: Its header.
        shape: Of its voxels.
        notes: Sentences on the file, to which one on a doubtful orientation is added.

    Returns:
        (4, 4), from voxel numbers to mm.

    Raises:
        InputError: The affine is singular or not finite.
    """
    sform, qform = bool(header["sform_code"] > 0), bool(header["qform_code"] > 0)
    try:
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
        other = np.asarray(header.get_qform(), dtype=np.float64) if sform and qform else affine
    except (HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"{file.name} has an unusable qform (quaternion or pixdim); correct its header."
        ) from error
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if (
        not np.isfinite(affine).all()
        or not sizes.min() > 0
        or abs(np.linalg.det(affine[:3, :3] / sizes)) < 1e-4
    ):
        raise InputError(
            f"{file.name} has a singular or non-finite {'sform' if sform else 'qform'} affine; "
            "correct its header."
        )
    if not sform and not qform:
        notes.append(
            f"{file.name} states no orientation (qform_code and sform_code are 0); its axes are "
            "taken as right, anterior, superior."
        )
    # How far the two put a corner of the volume from each other.
    corners = np.array(
        [[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])]
    )
    apart = np.abs(corners @ (affine - other).T).max()
    if not apart <= 0.1 * sizes.min():
        notes.append(
            f"{file.name} has a qform and an sform that disagree by up to {apart:.3g} mm; the "
            "sform is used."
        )
    return affine
