"""NIfTI volumes, checked when read and written without loss.

Reading: the header is checked before anything is allocated, gzip is read to its trailer (so that
truncation and flipped bits are detected), and what can be mended is mended and counted in a note.
Writing: float32 with slope 1 and intercept 0, so that nothing is rounded; affine, codes, units and
voxel sizes stay exactly; free-text fields and extensions, which may name a patient, are dropped, as
are the range to show and the intent of what was read (``cal_max``, ``intent_code``).
"""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError
from unfog.files.gzipped import content_of, unpacked
from unfog.files.nifti_header import checked_affine, checked_layout, mend, read_header
from unfog.files.numpy_files import require_within_float32
from unfog.files.output import write_bytes

VOXEL_CAP = 1 << 29  # 2 GB as float32
_FREE_TEXT = ("descrip", "aux_file", "db_name", "data_type", "intent_name", "unused_str")
# What a header says of the values themselves, which are others when they are written: the range to
# show, the meaning, and the extremes of old.
_OF_VALUES = (
    *("cal_max", "cal_min", "glmax", "glmin"),
    *("intent_code", "intent_p1", "intent_p2", "intent_p3"),
)


@dataclass(frozen=True)
class Volume:
    """A volume, or a series of volumes, in its place in space.

    Args:
        data: (X, Y, Z) or (X, Y, Z, T), all finite.
        affine: (4, 4), from voxel numbers to mm.
        header: nibabel's Nifti1Header or Nifti2Header.
        path: The file it was read from, if any.
        notes: Sentences on what was mended in reading.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    header: Any
    path: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def zooms(self) -> tuple[float, float, float]:
        """Voxel sizes in mm, from the affine."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    def image(self, data: NDArray[Any] | None = None) -> Any:
        """A nibabel image of ``data`` (its own by default) as float32 under this header, without
        free text, extensions, and what it says of the values it was read with: the range to show
        and the intent.
        """
        import nibabel as nib
        from nibabel.nifti1 import Nifti1Extensions

        array = np.asarray(self.data if data is None else data, dtype=np.float32)
        if array.shape[:3] != self.data.shape[:3]:
            raise InputError(
                f"The data has shape {array.shape[:3]} and its header {self.data.shape[:3]}; "
                "write it on its own grid."
            )
        header = self.header.copy()
        header.set_data_dtype(np.float32)
        for field in set(_FREE_TEXT) & set(header.keys()):  # NIfTI-2 has fewer
            header[field] = b""
        for field in set(_OF_VALUES) & set(header.keys()):
            header[field] = 0
        header.extensions = Nifti1Extensions()
        kind: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
        # With the header's own affine nibabel rewrites nothing in it.
        return kind(array, header.get_best_affine(), header)


def new_volume(data: NDArray[Any], affine: NDArray[np.float64], code: str = "scanner") -> Volume:
    """A volume with a new header in mm.

    Args:
        data: (X, Y, Z) or (X, Y, Z, T).
        affine: (4, 4), from voxel numbers to mm.
        code: The name of the space: scanner, aligned, talairach or mni.

    Returns:
        The volume, as float32.
    """
    import nibabel as nib

    header: Any = nib.Nifti1Header()  # type: ignore[no-untyped-call]
    header.set_data_shape(data.shape)
    header.set_xyzt_units("mm")
    header.set_zooms([*np.linalg.norm(affine[:3, :3], axis=0), *(1.0 for _ in data.shape[3:])])
    header.set_qform(affine, code=code)
    header.set_sform(affine, code=code)
    return Volume(np.asarray(data, dtype=np.float32), affine, header)


def read_nifti(path: str | Path, voxel_cap: int = VOXEL_CAP) -> Volume:
    """Read a .nii or .nii.gz of 2 to 4 dimensions; ``InputError`` for one that is damaged,
    oversized or has no usable affine.

    A warning (and a note) tells of non-finite voxels, which become 0, of header fields that are
    mended (``nifti_header.mend``), and of an orientation that is missing or contradicts itself,
    where the sform is used.
    """
    return _read(Path(path), voxel_cap, "iuf", np.real)


def holds_complex(path: Path) -> bool:
    """Whether the voxels of a NIfTI file are complex; ``InputError`` where it is none."""
    from nibabel.spatialimages import HeaderDataError

    with unpacked(path) as (stream, _):
        header = read_header(path, stream)
    try:
        return bool(header.get_data_dtype().kind == "c")
    except (HeaderDataError, KeyError):
        return False


def read_magnitude(path: Path) -> Volume:
    """The magnitudes of a NIfTI file of complex voxels, checked as ``read_nifti`` checks."""
    return _read(path, VOXEL_CAP, "c", lambda y: np.abs(y.astype(np.complex64)))


def read_angle(path: Path) -> Volume:
    """The phase in radians, -pi to pi, of a NIfTI file of complex voxels, checked as
    ``read_nifti`` checks.
    """
    return _read(path, VOXEL_CAP, "c", lambda y: np.angle(y.astype(np.complex64)))


def _read(
    file: Path, voxel_cap: int, kinds: str, of: Callable[[NDArray[Any]], NDArray[Any]]
) -> Volume:
    """The volume of a file whose voxels are of NumPy's ``kinds``, and what is taken ``of`` them."""
    notes = list[str]()
    with unpacked(file) as (stream, most):
        header = read_header(file, stream)
        shape, start, size = checked_layout(file, header, voxel_cap, most, kinds)
        content = content_of(file, stream, start, size)
    mend(file, header, notes)
    affine = checked_affine(file, header, shape, notes)
    data = _voxels(file, header, shape, content, notes, of)
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return Volume(data, affine, header, file, tuple(notes))


def write_nifti(
    path: str | Path, data: NDArray[Any], like: Volume, overwrite: bool = False
) -> Path:
    """Write data on the grid of a volume as float32.

    Args:
        path: The file, .nii or .nii.gz.
        data: (X, Y, Z[, T]).
        like: The volume whose header and affine it gets.
        overwrite: Whether a file may be there already; that of ``like`` is never written over.

    Returns:
        The path.

    Raises:
        InputError: The name ends otherwise, the grids differ, or the file may not be written.
    """
    target = Path(path)
    if not target.name.endswith((".nii", ".nii.gz")):
        raise InputError(
            f"The output {target.name!r} is a NIfTI volume; let its name end in .nii or .nii.gz."
        )
    content = like.image(data).to_bytes()
    packed = gzip.compress(content, 6, mtime=0) if target.name.endswith(".gz") else content
    return write_bytes(target, packed, [like.path] if like.path else [], overwrite)


def _voxels(
    file: Path,
    header: Any,
    shape: tuple[int, ...],
    content: bytes,
    notes: list[str],
    of: Callable[[NDArray[Any]], NDArray[Any]],
) -> NDArray[np.float32]:
    """What is taken ``of`` the voxels times slope plus intercept, those that are not finite 0."""
    from nibabel.spatialimages import HeaderDataError

    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError as error:
        raise InputError(
            f"{file.name} has a non-finite scl_slope or scl_inter; correct its header."
        ) from error
    if np.isinf(header["scl_slope"]):  # NaN and 0 mean none
        raise InputError(f"{file.name} has an infinite scl_slope; correct its header.")
    raw = np.frombuffer(content, header.get_data_dtype()).reshape(shape, order="F")
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = slope not in (None, 1) or bool(inter)
        exact = of(raw * np.float64(slope) + np.float64(inter)) if scaled else of(raw)
        data = exact.astype(np.float32)
    require_within_float32(file, exact, data)
    bad = ~np.isfinite(data)
    if count := int(bad.sum()):
        data[bad] = 0
        notes.append(
            f"{file.name} has {count} non-finite voxels of {data.size}; they are read as 0."
        )
    return data
