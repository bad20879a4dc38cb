"""The data sets ``nifti`` and ``dicom``: the volumes of a folder, or one, as slices, whole, or in
patches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.data.caption_columns import Columns, columns_of, joined
from unfog.data.captions import read_captions
from unfog.data.dataset import ArrayDataset, Dataset, choose, datasets
from unfog.data.patches import Patches, common_voxel
from unfog.errors import InputError
from unfog.files.dicom import read_every_series
from unfog.files.dicom_words import require_describing, words_of
from unfog.files.extent import brightest
from unfog.files.listing import files_below
from unfog.files.nifti import Volume, read_nifti
from unfog.files.orientation import upright, upright_affine
from unfog.files.slices import to_slices

CODEC = {"name": "range", "low": 0, "high": 1}


class Volumes(ArrayDataset):
    """Slices (1, rows, columns) of volumes, or whole volumes (1, X, Y, Z), in [0, 1].

    Each volume is turned to the nearest RAS+ axes and scaled by itself (``scaled``).

    Args:
        name: The data set's name.
        volumes: The volumes, of three dimensions.
        dims: 2 for slices, 3 for volumes.
        axis: The axis across the slices: 0 sagittal, 1 coronal, 2 axial.
        size: The sides to which samples are cropped or padded with 0 about their centre, one number
            or one an axis of space; without it all must be of one shape.
        least: The least share of a slice's pixels above a tenth of the range; slices with less are
            left out.
        captions: What each volume shows, in words; its slices show the same.

    Raises:
        InputError: A volume is not of three dimensions, shapes differ, or no slice is left.
    """

    def __init__(
        self,
        name: str,
        volumes: Iterable[Volume],
        dims: int,
        axis: int,
        size: int | list[int] | None,
        least: float,
        captions: Sequence[str] | None = None,
    ) -> None:
        choose("dims", dims, (2, 3))
        choose("axis", axis, (0, 1, 2))
        parts = list[NDArray[np.float32]]()
        names = list[str]()
        zooms = dict[str, tuple[float, ...]]()
        for volume in volumes:
            assert volume.path is not None  # it was read
            parts.append(_fitted(_samples(volume, dims, axis, least), size))
            names.append(volume.path.name)
            zooms[str(volume.path)] = upright_zooms(volume)
            if parts[-1].shape[1:] != parts[0].shape[1:]:
                shapes = f"{parts[-1].shape[2:]} but {names[0]} gives {parts[0].shape[2:]}"
                raise InputError(
                    f"{names[-1]} gives samples of {shapes}; give a size to crop or pad them to."
                )
        x = np.concatenate(parts)
        if not len(x):
            raise InputError(
                f"No slice of {names[0]} or the others reaches least={least}; lower it."
            )
        options: dict[str, Any] = {"dims": dims, "axis": axis, "size": size, "least": least}
        if captions is not None:
            pairs = zip(parts, captions, strict=True)
            self.captions = tuple(text for part, text in pairs for _ in range(len(part)))
            options["captions"] = self.captions
        super().__init__(name, x, dict(CODEC), options=options)
        self.voxel = common_voxel(zooms) if dims == 3 else None


def patches(
    name: str,
    volumes: Iterable[Volume],
    patch: int,
    size: int | list[int] | None,
    least: float,
    captions: Sequence[str] | None = None,
) -> Patches:
    """Random cubes of volumes, each turned to the nearest RAS+ axes and scaled by itself.

    Args:
        name: The data set's name.
        volumes: The volumes, of three dimensions; they may differ in shape, not in voxel size.
        patch: The side of the cubes, in voxels.
        size: None: cubes are cut out of whole volumes.
        least: The least share of a cube's voxels above a tenth of the range.
        captions: What each volume shows, in words.

    Returns:
        The data set.

    Raises:
        InputError: Voxel sizes differ, or a volume is not of three dimensions or too small.
    """
    if size is not None:
        raise InputError("Patches are cut out of whole volumes; leave data.size out.")
    parts, zooms = dict[str, NDArray[np.float32]](), dict[str, tuple[float, ...]]()
    for volume in volumes:
        assert volume.path is not None  # it was read
        key = volume.path.name if volume.path.name not in parts else f"{len(parts)}"
        parts[key] = _samples(volume, 3, 0, least)[0, 0]
        zooms[key] = upright_zooms(volume)
    voxel = common_voxel(zooms)
    if voxel is None:
        raise InputError(
            f"The voxels of {', '.join(list(zooms)[:3])} and others differ by more than a tenth; "
            "resample them to one size."
        )
    return Patches(name, parts, patch, dict(CODEC), voxel, least=least, captions=captions)


def upright_zooms(volume: Volume) -> tuple[float, ...]:
    """The sides of a volume's voxels in mm along its upright axes, (3,)."""
    return tuple(map(float, np.linalg.norm(upright_affine(volume)[:3, :3], axis=0)))


@datasets.register("nifti")
def nifti(
    path: str,
    dims: int = 2,
    axis: int = 2,
    size: int | list[int] | None = None,
    least: float = 0.05,
    patch: int | None = None,
    captions: bool | str | None = None,
    caption_column: Columns = None,
) -> Dataset:
    """The NIfTI volumes (.nii, .nii.gz) below a folder, or one, as ``Volumes``.

    Args:
        path: The folder or the file.
        dims: 2 for slices, 3 for volumes.
        axis: The axis across the slices: 0 sagittal, 1 coronal, 2 axial.
        size: The sides to which samples are cropped or padded.
        least: The least share of a slice's pixels, or a patch's voxels, above a tenth of the range.
        patch: The side of random cubes of the volumes, in voxels, instead of slices (``patches``).
        captions: Whether each volume has a caption, or the path of their table (``data.captions``).
        caption_column: The column or columns of the table that make the captions.

    Returns:
        The data set.

    Raises:
        InputError: There is no such file, or captions are not as they should be.
    """
    folder = Path(path)
    below = files_below(folder)
    inside = [p for p in below if p.name.lower().endswith((".nii", ".nii.gz"))]
    files = below if folder.is_file() else inside
    if not files:
        raise InputError(
            f"{folder.name} holds no NIfTI volumes (.nii, .nii.gz); name the folder that does."
        )
    columns = columns_of(caption_column)
    told = captions or bool(columns)
    texts = read_captions(folder, files, told, columns, names=False) if told else None
    volumes = map(read_nifti, files)
    if patch is not None:
        return patches("nifti", volumes, patch, size, least, texts)
    return Volumes("nifti", volumes, dims, axis, size, least, texts)


@datasets.register("dicom")
def dicom(
    path: str,
    dims: int = 2,
    axis: int = 2,
    size: int | list[int] | None = None,
    least: float = 0.05,
    patch: int | None = None,
    captions: bool | str | None = None,
    caption_column: Columns = None,
) -> Dataset:
    """Every DICOM series below a folder, as ``Volumes``.

    Args:
        path: The folder.
        dims: 2 for slices, 3 for volumes.
        axis: The axis across the slices: 0 sagittal, 1 coronal, 2 axial.
        size: The sides to which samples are cropped or padded.
        least: The least share of a slice's pixels, or a patch's voxels, above a tenth of the range.
        patch: The side of random cubes of the volumes, in voxels, instead of slices (``patches``).
        captions: Whether each series has a caption, or the path of a table of the series' folders
            or of participants.
        caption_column: The column or columns of the table that make the captions, or, without one,
            the attributes of DICOM by keyword.

    Returns:
        The data set.

    Raises:
        InputError: A series cannot be read, or captions are not as they should be.
    """
    volumes: Iterable[Volume] = read_every_series(path)
    columns, texts = columns_of(caption_column), None
    if columns and not isinstance(captions, str):
        require_describing(columns)
    if captions or columns:
        volumes = list(volumes)
        files = [volume.path for volume in volumes if volume.path is not None]
        texts = _series_captions(Path(path), files, captions or True, columns)
    if patch is not None:
        return patches("dicom", volumes, patch, size, least, texts)
    return Volumes("dicom", volumes, dims, axis, size, least, texts)


def _series_captions(
    folder: Path, files: Sequence[Path], source: bool | str, columns: Sequence[str]
) -> tuple[str, ...]:
    """The captions of series, by a file of each: of their attributes, or of a table of the folders
    that they lie in.
    """
    if not columns or isinstance(source, str):
        places = [file.parent for file in files]
        return read_captions(folder, places, source, columns, names=False)
    captions = []
    for file in files:
        caption = joined(words_of(file, columns), columns)
        if not caption:
            raise InputError(
                f"The series of {file.name} has no {' or '.join(columns)}; take another attribute, "
                "or a table of captions."
            )
        captions.append(caption)
    return tuple(captions)


def _samples(volume: Volume, dims: int, axis: int, least: float) -> NDArray[np.float32]:
    """The samples (n, 1, *space) of one volume."""
    if volume.data.ndim != 3:
        name = volume.path.name if volume.path else "A volume"
        raise InputError(
            f"{name} has shape {volume.data.shape}; a data set takes volumes of three "
            "dimensions, so split it."
        )
    data = scaled(upright(volume))
    if dims == 3:
        return data[None, None]
    # Slices with a share ``least`` of their pixels above a tenth of the range.
    slices: NDArray[np.float32] = to_slices(data, axis)
    return np.asarray(slices[(slices > 0.1).mean((1, 2, 3)) >= least])


def scaled(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """A volume scaled by itself to [0, 1]: its smallest value to 0, its brightest but for a few of
    those not empty (``files.extent``) to 1.

    What lies above is cut, so that one bright vessel does not darken a head. A constant volume is
    0.
    """
    low, high = float(data.min()), brightest(data)
    if not high > low:
        high = float(data.max())
    span = high - low if high > low else 1.0
    return np.asarray(np.clip((data - np.float32(low)) / np.float32(span), 0, 1), dtype=np.float32)


def _fitted(x: NDArray[np.float32], size: int | list[int] | None) -> NDArray[np.float32]:
    """Samples (n, 1, *space) cropped, or padded with 0, about their centre to a size."""
    if size is None:
        return x
    sizes = [size] * (x.ndim - 2) if isinstance(size, int) else list(size)
    if len(sizes) != x.ndim - 2 or min(sizes) < 1:
        raise InputError(f"size must be one positive number, or {x.ndim - 2} of them, not {size}.")
    for axis, side in enumerate(sizes, 2):
        spare = x.shape[axis] - side
        if spare > 0:
            x = np.take(x, range(spare // 2, spare // 2 + side), axis)
        else:
            widths: Any = [(0, 0)] * x.ndim
            widths[axis] = (-spare // 2, -spare - -spare // 2)
            x = np.pad(x, widths)
    return x
