"""The data set ``emoji``: pictures of emoji with their names as captions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unfog.core.random import seed_of
from unfog.data.builtin.packages import PACKAGES, cache_folder, fetched_folder, member
from unfog.data.crops import cropped
from unfog.data.dataset import ArrayDataset, Dataset, choose, datasets
from unfog.errors import InputError
from unfog.files.numpy_files import keep_array, kept_array
from unfog.progress import progress

PICTURES, NAMES = "@lobehub/fluent-emoji-3d", "emoji"  # packages
SPLITS = ("train", "test", "all")
HELD_OUT = 6  # one stem in so many is of the test split
SIDE = 256  # of a picture in the package, in pixels
_TONE = re.compile(r" (medium-light|medium-dark|light|medium|dark) skin tone")
_REGION = range(0x1F1E6, 0x1F200)  # two letters of a region make a flag
_TAGGED = 0x1F3F4  # the flag of a part of a region, with its letters behind it


class Emoji(ArrayDataset):
    """Microsoft's Fluent emoji (3, size, size) in [0, 255] on white: 3391 pictures, each with its
    name as caption.

    The split is by caption: tones of skin share the caption's stem, and a stem's pictures lie all
    in one split. ``files`` holds the pictures' names, which are their code points.

    Args:
        split: ``train``, ``test`` (one stem in 6) or ``all``.
        size: The side in pixels, 4 to 256; each pixel is the mean of what it covers.

    Raises:
        InputError: There is no such split or size, or the package cannot be fetched.
    """

    def __init__(self, split: str = "train", size: int = 64) -> None:
        choose("The split of emoji", split, SPLITS)
        if not 4 <= size <= SIDE:
            raise InputError(f"The size of emoji is 4 to {SIDE} pixels, not {size}.")
        files = sorted(fetched_folder(PICTURES).glob("*.webp"))
        captions = captions_of([file.stem for file in files])
        mine = [k for k, caption in enumerate(captions) if split in ("all", split_of(caption))]
        self.files = tuple(files[k].name for k in mine)
        self.captions = tuple(captions[k] for k in mine)
        super().__init__(
            "emoji",
            _pictures(files, size)[mine],
            {"name": "range", "low": 0, "high": 255},
            options={"split": split, "size": size, "captions": self.captions},
        )


@datasets.register("emoji")
def emoji(split: str = "train", size: int = 64, crop: int | None = None) -> Dataset:
    """``Emoji``, or squares cut out of it.

    Args:
        split: ``train``, ``test`` or ``all``.
        size: The side in pixels, 4 to 256.
        crop: The side of random squares; None for whole pictures.

    Returns:
        The data set.

    Raises:
        InputError: An option is out of range, or the package cannot be fetched.
    """
    return cropped(Emoji(split, size), crop)


def stem_of(caption: str) -> str:
    """A caption without its tones of skin.

    >>> stem_of("handshake light skin tone dark skin tone")
    'handshake'
    """
    return _TONE.sub("", caption)


def split_of(caption: str) -> str:
    """The split of a caption, by its stem alone."""
    return "test" if seed_of("emoji", stem_of(caption)) % HELD_OUT == 0 else "train"


def captions_of(names: list[str]) -> list[str]:
    """The captions of pictures that are called by their code points, such as ``2764-fe0f``.

    Args:
        names: Of the files, without suffix.

    Returns:
        Their names in the Unicode locale data; of a flag, "flag of" its region.
    """
    table = json.loads(member(NAMES, "emoji.json").read_text("utf-8"))
    return [_caption(table, [int(part, 16) for part in re.split("[-_]", name)]) for name in names]


def _caption(table: dict[str, dict[str, str]], points: list[int]) -> str:
    """The caption of an emoji by its code points."""
    text = "".join(map(chr, points))
    # As it is; without and with the selector of emoji style; with the end of a tagged flag.
    forms = (text, text.replace("\ufe0f", ""), text + "\ufe0f", text + "\U000e007f")
    found = next((table[form] for form in forms if form in table), None)
    if found is None:
        raise InputError(f"The emoji {text!r} has no name in the package {NAMES}; fetch it again.")
    name = found["en"].strip(":").replace("_", " ")
    tagged = points[0] == _TAGGED and len(points) > 4
    return f"flag of {name}" if points[0] in _REGION or tagged else name


def _pictures(files: list[Path], size: int) -> NDArray[np.uint8]:
    """All pictures (files, 3, size, size), from the cache, made first where they are not there."""
    path = cache_folder() / f"emoji-{PACKAGES[PICTURES].version}-{size}.npy"
    shape = (len(files), 3, size, size)
    if (kept := kept_array(path, shape, np.uint8)) is not None:
        return kept
    pictures = np.empty(shape, np.uint8)
    with progress("reading the emoji") as report:
        for place, file in enumerate(files):
            pictures[place] = _picture(file, size)
            report(place + 1, len(files))
    keep_array(path, pictures)
    return pictures


def _picture(file: Path, size: int) -> NDArray[np.uint8]:
    """One picture (3, size, size) on white."""
    with Image.open(file) as picture:
        drawn = picture.convert("RGBA")
    white = Image.new("RGBA", drawn.size, "white")
    flat = Image.alpha_composite(white, drawn).convert("RGB")
    return np.moveaxis(np.asarray(flat.resize((size, size), Image.Resampling.BOX)), 2, 0)
