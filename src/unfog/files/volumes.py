"""Volumes in files of either format: NIfTI, or an MRtrix image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unfog.files.mif import SUFFIXES, MifVolume, read_mif, write_mif
from unfog.files.nifti import Volume, holds_complex, read_nifti, write_nifti


def read_volume(path: Path) -> Volume:
    """A volume, or a series of them, of a .mif, .mif.gz, .nii or .nii.gz file."""
    return read_mif(path) if path.name.endswith(SUFFIXES) else read_nifti(path)


def is_complex(path: Path) -> bool:
    """Whether a file is a NIfTI volume of complex numbers; MRtrix images of them are refused when
    they are read.
    """
    return not path.name.endswith(SUFFIXES) and holds_complex(path)


def write_volume(folder: Path, name: str, data: NDArray[Any], like: Volume) -> Path:
    """Write data in the format of the file that its grid comes from, packed by gzip.

    Args:
        folder: Where to.
        name: The file's, without its suffix.
        data: (X, Y, Z[, T]).
        like: The volume whose grid it gets.

    Returns:
        The path: name.mif.gz for the grid of an MRtrix image, or name.nii.gz.
    """
    if isinstance(like, MifVolume):
        return write_mif(folder / f"{name}.mif.gz", data, like)
    return write_nifti(folder / f"{name}.nii.gz", data, like)


def written(folder: Path, name: str) -> Path:
    """The file that ``write_volume`` wrote under a name; the NIfTI one where there is none."""
    packed = folder / f"{name}.mif.gz"
    return packed if packed.exists() else folder / f"{name}.nii.gz"
