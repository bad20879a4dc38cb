"""``arrays``: samples in a NumPy file, .npy or .npz; pickled objects are never read."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.data.dataset import ArrayDataset, choose, datasets
from unfog.errors import InputError
from unfog.files.numpy_files import npz_array, npz_names, require_finite


@datasets.register("arrays")
class Arrays(ArrayDataset):
    """(N, C, *space) or (N, *space) with ``dims`` axes of space, in the type of the file.

    In an .npz, ``key`` names the samples (``x``, or the only array) and ``label`` the class numbers
    (N,), if wanted. The codec's range is ``low`` to ``high``: by default the type's for bytes and
    16-bit words, else the smallest and largest value.
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
        choose("dims", dims, (1, 2, 3))
        file = Path(path)
        x = _samples(file, _read(file, key, "x"), dims)
        smallest, largest = _range(x)
        codec = {
            "name": "range",
            "low": smallest if low is None else low,
            "high": largest if high is None else high,
        }
        labels = (
            {} if label is None else {"label": _labels(file, _read(file, label, label), len(x))}
        )
        conditions = {
            name: {"name": "class", "count": int(value.max()) + 1} for name, value in labels.items()
        }
        super().__init__(
            "arrays", x, codec, conditions, labels, {"dims": dims, "low": low, "high": high}
        )


def _read(file: Path, key: str | None, default: str) -> NDArray[Any]:
    try:
        if file.suffix.lower() == ".npz":
            return _from_npz(file, key, default)
        if key is not None:
            raise InputError(
                f"{file.name} holds one array without a name; leave key and label out, or save "
                "an .npz."
            )
        # A memory map is checked against the length of the file before anything is read.
        return require_finite(file, file.name, np.load(file, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{file.name} is truncated, damaged or holds Python objects; save it again with "
            "numpy.save or savez."
        ) from error


def _from_npz(file: Path, key: str | None, default: str) -> NDArray[Any]:
    names = npz_names(file)
    chosen = key or (names[0] if len(names) == 1 else default)
    if chosen not in names:
        raise InputError(f"{file.name} holds no array {chosen!r}; it holds: {', '.join(names)}.")
    return npz_array(file, chosen)


def _samples(file: Path, x: NDArray[Any], dims: int) -> NDArray[Any]:
    if x.ndim == dims + 1:
        x = x[:, None]
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
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise InputError(
            f"{file.name} has labels {labels.shape} {labels.dtype}; give one class number from 0 "
            f"for each of {count} samples."
        )
    return labels


def _range(x: NDArray[Any]) -> tuple[float, float]:
    if x.dtype in (np.uint8, np.uint16):
        return 0, np.iinfo(x.dtype).max
    low, high = float(x.min()), float(x.max())
    return low, high if high > low else low + 1
