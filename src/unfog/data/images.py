"""The data set ``images``: a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.data.caption_columns import Columns, columns_of
from unfog.data.captions import read_captions
from unfog.data.crops import cropped
from unfog.data.dataset import ArrayDataset, Dataset, datasets
from unfog.errors import InputError
from unfog.files.listing import files_below
from unfog.files.pictures import read_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MEMORY_CAP = 8 << 30  # bytes of a whole folder


class Images(ArrayDataset):
    """The pictures under a folder, PNG, JPEG and TIFF, in the order of their names: 8- or 16-bit
    grey, 8-bit RGB or 16-bit RGB in TIFF, (channels, rows, columns), held in memory in their own
    depth.

    16-bit values are kept exactly. Files that would be read with a silent loss (16-bit colour in
    PNG, transparency, CMYK, further pages) or in part (a truncated file) are refused. The codec's
    range is the depth's, 0 to 255 or 65535; ``classes`` holds the names of the labels.

    Args:
        path: The folder, or one picture.
        size: The side in pixels to which the central square of each is resized (Lanczos); without
            it all must be of one size.
        label: Whether the first level of folders is the condition ``label``.
        captions: Whether each has a caption (``data.captions``), or the path of their table; None
            is no.
        caption_column: The column or columns of the table that make the captions.

    Raises:
        InputError: There are no pictures, one cannot be read, or they differ in size or depth.
    """

    def __init__(
        self,
        path: str,
        size: int | None = None,
        label: bool = False,
        captions: bool | str | None = None,
        caption_column: Columns = None,
    ) -> None:
        folder = Path(path)
        below = files_below(folder)
        inside = [p for p in below if p.suffix.lower() in SUFFIXES]
        files = below if folder.is_file() else inside
        if not files:
            raise InputError(
                f"{folder.name} holds no pictures ({', '.join(SUFFIXES)}); name the folder that "
                "does."
            )
        # Captions first: what is wrong with them is soon found.
        columns = columns_of(caption_column)
        told = captions or bool(columns)
        texts = read_captions(folder, files, told, columns) if told else None
        x = _stack(files, size)
        # The first level of folders as classes, numbered in the order of their names.
        self.classes: tuple[str, ...] = ()
        conditions, values = {}, {}
        if label:
            names = [_class(folder, file) for file in files]
            self.classes = tuple(sorted(set(names)))
            conditions["label"] = {"name": "class", "count": len(self.classes)}
            values["label"] = np.array([self.classes.index(name) for name in names])
        codec = {"name": "range", "low": 0, "high": 255 if x.dtype == np.uint8 else 65535}
        options: dict[str, Any] = {"size": size, "classes": self.classes}
        if texts is not None:
            self.captions, options = texts, {**options, "captions": texts}
        super().__init__("images", x, codec, conditions, values, options)


@datasets.register("images")
def images(
    path: str,
    size: int | None = None,
    label: bool = False,
    captions: bool | str | None = None,
    crop: int | None = None,
    caption_column: Columns = None,
) -> Dataset:
    """``Images``, or squares cut out of it.

    Args:
        path: The folder, or one picture.
        size: The side in pixels to which the central square of each is resized.
        label: Whether the first level of folders is the condition ``label``.
        captions: Whether each has a caption, or the path of their table.
        crop: The side of random squares; None for whole pictures.
        caption_column: The column or columns of the table that make the captions.

    Returns:
        The data set.

    Raises:
        InputError: The pictures cannot be read, or differ, or are smaller than a square.
    """
    return cropped(Images(path, size, label, captions, caption_column), crop)


def _stack(files: list[Path], size: int | None) -> NDArray[Any]:
    """All pictures as (files, channels, rows, columns)."""
    first = read_image(files[0], size)
    if first.nbytes * len(files) > MEMORY_CAP:
        raise InputError(
            f"{len(files)} pictures like {files[0].name} need more than {MEMORY_CAP >> 30} GB; "
            "give a smaller size."
        )
    # One picture at a time into the array; all have the shape and depth of the first.
    x = np.empty((len(files), *first.shape), first.dtype)
    for place, file in enumerate(files):
        picture = read_image(file, size)
        if picture.shape != first.shape or picture.dtype != first.dtype:
            kinds = [
                f"{a.shape[2]} x {a.shape[1]}, {a.shape[0]} channel(s), {a.dtype}"
                for a in (picture, first)
            ]
            raise InputError(
                f"{file.name} is {kinds[0]} but {files[0].name} is {kinds[1]}; make them alike, "
                "or give size=N for the size."
            )
        x[place] = picture
    return x


def _class(folder: Path, file: Path) -> str:
    """The name of a picture's class: the subfolder that it lies in."""
    parts = file.relative_to(folder).parts if folder.is_dir() else ()
    if len(parts) < 2:
        raise InputError(
            f"{file.name} lies in no subfolder; put each class in a folder of its own, or leave "
            "label out."
        )
    return parts[0]
