"""The data set ``arrays``: samples in a NumPy file, .npy or .npz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unfog.data.dataset import ArrayDataset, choose, datasets
from unfog.data.memory import measured_codec, with_channels
from unfog.errors import InputError
from unfog.files.numpy_files import npz_array, npz_names, read_npy


@datasets.register("arrays")
class Arrays(ArrayDataset):
    """The samples in a .npy or .npz, (N, C, *space) or (N, *space), in the type of the file.

    The codec maps [``low``, ``high``] to the model's scale; vectors, with ``dims`` 0, it brings to
    mean 0 and deviation 1 by coordinate.

    Args:
        path: The file.
        dims: The number of axes of space; 0 for vectors (N, C).
        key: The name of the samples in an .npz; by default ``x``, or the only array.
        label: The name of the class numbers (N,) in an .npz; without it there are no classes.
        low: The smallest value of the data; by default 0 for bytes and 16-bit words, else measured.
        high: The largest; by default that of the type for bytes and 16-bit words, else measured.

    Raises:
        InputError: The file cannot be read or holds no such samples or labels.
    """

    def __init__(
        self,
        path: str,
        dims: int = 2,
        key: str | None = None,
        label: str | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        choose("dims", dims, (0, 1, 2, 3))
        file = Path(path)
        x = _samples(file, _read(file, key, "x"), dims)
        codec = measured_codec(x)
        for end, value in (("low", low), ("high", high)):
            if value is not None and dims == 0:
                raise InputError(f"Vectors are scaled by coordinate; leave {end!r} out.")
            codec |= {} if value is None else {end: value}
        values, conditions = {}, {}
        if label is not None:
            numbers = _labels(file, _read(file, label, label), len(x))
            values["label"] = numbers
            conditions["label"] = {"name": "class", "count": int(numbers.max()) + 1}
        options = {"dims": dims, "low": low, "high": high}
        super().__init__("arrays", x, codec, conditions, values, options)


def _read(file: Path, key: str | None, default: str) -> NDArray[Any]:
    """The array ``key`` of a file; without a key the only array, or the one called ``default``."""
    if file.suffix.lower() == ".npz":
        names = npz_names(file)
        name = key or (names[0] if len(names) == 1 else default)
        if name not in names:
            raise InputError(f"{file.name} holds no array {name!r}; it holds: {', '.join(names)}.")
        return npz_array(file, name)
    if key is not None:
        raise InputError(
            f"{file.name} holds one array without a name; leave key and label out, or save an .npz."
        )
    return read_npy(file, file.name)


def _samples(file: Path, x: NDArray[Any], dims: int) -> NDArray[Any]:
    """Samples as (N, C, *space); ``InputError`` for other shapes, channels last among them."""
    x = with_channels(x, dims)
    if x.ndim != dims + 2 or 0 in x.shape:
        raise InputError(
            f"{file.name} has shape {x.shape}; samples are (N, C, *space) or (N, *space) with "
            f"dims={dims} axes of space."
        )
    if x.shape[-1] in (1, 3, 4) and x.shape[1] > 4:
        raise InputError(
            f"{file.name} has shape {x.shape} with channels last; transpose it to (N, C, *space)."
        )
    return x


def _labels(file: Path, labels: NDArray[Any], count: int) -> NDArray[Any]:
    """Class numbers, checked: whole numbers from 0, one for each of ``count`` samples."""
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise InputError(
            f"{file.name} has labels {labels.shape} {labels.dtype}; give one class number from 0 "
            f"for each of {count} samples."
        )
    return labels
