"""The header of a NIfTI file, checked before the voxels are read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError

SPACES = range(6)  # codes of nifti1.h: none, scanner, aligned, Talairach, MNI, another template


def read_header(file: Path, stream: IO[bytes]) -> Any:
    """The header at the start of a stream, NIfTI-1 or NIfTI-2 by its magic number."""
    import nibabel as nib
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

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
    file: Path, header: Any, cap: int, most: int, kinds: str = "iuf"
) -> tuple[tuple[int, ...], int, int]:
    """Where the voxels lie, checked against the file before anything is allocated.

    Args:
        file: The file, for errors.
        header: Its header.
        cap: The largest number of voxels.
        most: The most bytes that the unpacked file can have.
        kinds: NumPy's kinds of numbers that the voxels may be.

    Returns:
        The shape (X, Y, Z[, T]), and the start and the size of the voxels in bytes.

    Raises:
        InputError: Dimensions, type or offset are unusable, or the file is too short for them.
    """
    # Dimensions, without trailing ones of 1.
    from nibabel.spatialimages import HeaderDataError

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
    if kind.fields or kind.kind not in kinds:
        needed = "complex" if kinds == "c" else "real"
        raise InputError(
            f"{file.name} holds {kind} voxels in datatype; convert it to {needed} numbers."
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


def mend(file: Path, header: Any, notes: list[str]) -> None:
    """Mend what a header says of its axes as nibabel's loader does, and note it: a handedness that
    is neither 1 nor -1 is 1 (nifti1.h: "if it is 0, take 1"), voxels have the magnitudes of their
    sizes, or 1 for 0, and codes of unknown spaces count as 0.

    Args:
        file: The file, for the notes.
        header: Its header, which is changed.
        notes: Sentences on the file, to which those on what was mended are added.
    """
    handedness, sizes = header["pixdim"][0], header["pixdim"][1:4]
    if handedness not in (-1, 1):
        notes.append(f"{file.name} has pixdim[0] = {float(handedness):g}; it is taken as 1.")
        header["pixdim"][0] = 1
    if (sizes <= 0).any():
        stated = ", ".join(f"{float(size):g}" for size in sizes)
        header["pixdim"][1:4] = np.where(sizes == 0, 1, np.abs(sizes))
        taken = ", ".join(f"{float(size):g}" for size in header["pixdim"][1:4])
        notes.append(f"{file.name} has voxel sizes of {stated} in pixdim; {taken} are taken.")
    for form in ("qform_code", "sform_code"):
        if (code := int(header[form])) not in SPACES:
            notes.append(f"{file.name} has the unknown {form} {code}; it is taken as 0.")
            header[form] = 0


def checked_affine(
    file: Path, header: Any, shape: tuple[int, ...], notes: list[str]
) -> NDArray[np.float64]:
    """The affine in use: by the sform, else the qform, else by the voxel sizes alone, with axes
    towards left, anterior and superior and the volume's middle at 0, as nibabel and SPM have it.

    A qform that is unusable beside an sform is taken out of the header.

    Args:
        file: The file, for errors.
        header: Its header, mended.
        shape: Of its voxels.
        notes: Sentences on the file, to which those on a doubtful orientation are added.

    Returns:
        (4, 4), from voxel numbers to mm.

    Raises:
        InputError: The affine is singular or not finite.
    """
    sform, qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    turned = _qform(header) if qform else None
    if sform:
        affine = _required(file, header.get_sform(), "sform affine (srow)")
    elif qform:
        affine = _required(file, turned, "qform (quaternion, offset or pixdim)")
    else:
        affine = _required(file, header.get_base_affine(), "voxel size (pixdim)")
        notes.append(
            f"{file.name} states no orientation (qform_code and sform_code are 0); its axes are "
            "taken as left, anterior, superior, as nibabel and SPM do (the NIfTI standard's own "
            "fallback has right for left)."
        )
    if sform and qform:
        _compare(file, header, shape, affine, turned, notes)
    return affine


def _qform(header: Any) -> NDArray[np.float64] | None:
    """The affine by the qform, or None where its quaternion has no meaning."""
    from nibabel.spatialimages import HeaderDataError

    try:
        return np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError, np.linalg.LinAlgError):
        return None


def _usable(affine: NDArray[Any]) -> bool:
    """Whether an affine is finite and its axes independent."""
    if not np.isfinite(affine).all():
        return False
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(sizes.min() > 0) and abs(np.linalg.det(affine[:3, :3] / sizes)) >= 1e-4


def _required(file: Path, affine: NDArray[Any] | None, kind: str) -> NDArray[np.float64]:
    """An affine in use; ``InputError`` where it is not usable."""
    if affine is None or not _usable(affine):
        raise InputError(
            f"{file.name} has an unusable, singular or non-finite {kind}; correct its header."
        )
    return np.asarray(affine, dtype=np.float64)


def _compare(
    file: Path,
    header: Any,
    shape: tuple[int, ...],
    affine: NDArray[np.float64],
    other: NDArray[np.float64] | None,
    notes: list[str],
) -> None:
    """Note a qform that puts the volume elsewhere than the sform in use, or take out one that is
    unusable.

    Args:
        file: The file, for the notes.
        header: Its header.
        shape: Of its voxels.
        affine: By the sform, (4, 4).
        other: By the qform, None where it has no meaning.
        notes: Sentences on the file, to which one is added.
    """
    if other is None or not _usable(other):
        notes.append(
            f"{file.name} has an unusable qform (quaternion, offset or pixdim); its sform is used "
            "and the qform left out."
        )
        header["qform_code"] = 0
        for field in (*(f"quatern_{c}" for c in "bcd"), *(f"qoffset_{c}" for c in "xyz")):
            header[field] = 0
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        header["pixdim"][1:4] = sizes
        return
    # How far the two put a corner of the volume from each other.
    corners = np.array(
        [[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])]
    )
    apart = np.abs(corners @ (affine - other).T).max()
    if not apart <= 0.1 * np.linalg.norm(affine[:3, :3], axis=0).min():
        notes.append(
            f"{file.name} has a qform and an sform that disagree by up to {apart:.3g} mm; the "
            "sform is used."
        )
