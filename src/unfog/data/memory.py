"""The data set ``memory``: samples handed over as an array, which lie in no file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unfog.data.dataset import ArrayDataset, choose, datasets
from unfog.errors import InputError

NAME = "memory"


class Memory(ArrayDataset):
    """An array of samples as a data set, as ``unfog.train`` makes it of an array.

    Args:
        x: (n, *space) or (n, channels, *space), real and finite.
        labels: Class numbers from 0, (n,), or None.
        dims: Axes of space; by default 1 for two axes in all, 3 for five, and else 2. 0 is for
            vectors, (n, channels).
        value_range: The smallest and largest value of the data, which become -1 and 1 for the
            model; by default that of the type for bytes and 16-bit words, else measured. Vectors
            get mean 0 and deviation 1 by coordinate instead.
        captions: What each sample shows, in words, or None.

    Raises:
        InputError: Values are not real numbers or not finite, or shapes do not match.
    """

    def __init__(
        self,
        x: NDArray[Any] | Tensor,
        labels: NDArray[Any] | Tensor | None = None,
        dims: int | None = None,
        value_range: tuple[float, float] | None = None,
        captions: Sequence[str] | None = None,
    ) -> None:
        samples = as_samples(as_numbers(x, "The training data"), dims)
        codec: dict[str, Any] = measured_codec(samples)
        if value_range is not None:
            codec = {"name": "range", **dict(zip(("low", "high"), value_range, strict=True))}
            if not codec["high"] > codec["low"]:
                raise InputError(
                    f"The range of the data needs low < high, got {codec['low']} and "
                    f"{codec['high']}."
                )
        values, conditions = {}, {}
        if labels is not None:
            numbers = as_numbers(labels, "The labels")
            whole = numbers.dtype.kind in "iu" and int(numbers.min()) >= 0
            if numbers.shape != samples.shape[:1] or not whole:
                raise InputError(
                    f"The labels are {numbers.shape} {numbers.dtype}; give one whole number from 0 "
                    f"for each of {len(samples)} samples."
                )
            values["label"] = numbers
            conditions["label"] = {"name": "class", "count": int(numbers.max()) + 1}
        options: dict[str, Any] = {key: codec[key] for key in ("low", "high") if key in codec}
        codec = {key: float(v) if key in options else v for key, v in codec.items()}
        if captions is not None:
            if len(captions) != len(samples):
                raise InputError(
                    f"There are {len(captions)} captions of {len(samples)} samples; give one each."
                )
            self.captions = tuple(captions)
            options["captions"] = self.captions
        super().__init__(NAME, samples, codec, conditions, values, options)


@datasets.register(NAME)
def memory() -> NoReturn:
    """Refused: an array handed over in memory is gone with its process."""
    raise InputError(
        "This run was trained on an array in memory; hand it over again with unfog.train, or save "
        "it as a .npy and name that."
    )


def as_numbers(x: NDArray[Any] | Tensor, what: str) -> NDArray[Any]:
    """A tensor or an array as NumPy's, of real, finite numbers; ``what`` names it in errors."""
    array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise InputError(
            f"{what} must be real numbers, at least one, not {array.shape} {array.dtype}."
        )
    bad = int((~np.isfinite(array)).sum()) if array.dtype.kind == "f" else 0
    if bad:
        raise InputError(f"{what} has {bad} values of {array.size} that are not finite; mend them.")
    return array


def as_samples(x: NDArray[Any], dims: int | None) -> NDArray[Any]:
    """Samples (n, *space) or (n, channels, *space) as the latter; ``InputError`` for another
    number of axes.
    """
    dims = {2: 1, 5: 3}.get(x.ndim, 2) if dims is None else dims
    choose("dims", dims, (0, 1, 2, 3))
    x = with_channels(x, dims)
    if x.ndim != dims + 2:
        raise InputError(
            f"The training data has shape {x.shape}; samples are (n, *space) or (n, channels, "
            f"*space) with dims={dims} axes of space."
        )
    return x


def with_channels(x: NDArray[Any], dims: int) -> NDArray[Any]:
    """(n, *space) with ``dims`` axes of space as (n, 1, *space); other shapes as they are."""
    return x[:, None] if x.ndim == dims + 1 else x


def measured_range(x: NDArray[Any]) -> tuple[float, float]:
    """The smallest and largest value of the data: of the type for bytes and 16-bit words, else
    measured, and one apart where all values are equal.
    """
    if x.dtype in (np.uint8, np.uint16):
        return 0, np.iinfo(x.dtype).max
    low, high = float(x.min()), float(x.max())
    return low, high if high > low else low + 1


def measured_codec(x: NDArray[Any]) -> dict[str, Any]:
    """The registry config of the codec for samples (n, channels, *space): their measured range to
    [-1, 1], or, of vectors, mean 0 and deviation 1 of each coordinate.
    """
    if x.ndim > 2:
        low, high = measured_range(x)
        return {"name": "range", "low": low, "high": high}
    mean, std = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    std = np.where(std > 0, std, 1.0)  # a constant coordinate stays one
    return {"name": "standard", "mean": mean.tolist(), "std": std.tolist()}
