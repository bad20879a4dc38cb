"""k-space as fastMRI stores it (Zbontar et al. 2018, arXiv:1811.08839), in HDF5: ``kspace`` of many
slices, beside it reference images, the lines that were measured and the scanner's header as text.

Of several coils it is (slices, coils, rows, columns), of one (slices, rows, columns): there the
first axis counts slices, where files without a mark of fastMRI have coils.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError

KEPT = ("kspace", "mask", "sensitivities")  # what is read; of the references the shape alone
HEADER, REFERENCES = "ismrmrd_header", ("reconstruction_rss", "reconstruction_esc")
PADDING = ("padding_left", "padding_right")  # attributes: the columns that were measured
REMEDY = "say its axes, such as --axes slices,coils,rows,columns"


def is_fastmri(names: Mapping[str, Any], attributes: Mapping[str, Any]) -> bool:
    """Whether a file is fastMRI's, by the names of its arrays and attributes."""
    marked = HEADER in names or "acquisition" in attributes
    return "kspace" in names and (marked or any(name in names for name in REFERENCES))


def slices_of_fastmri(
    path: Path,
    arrays: dict[str, NDArray[Any]],
    references: Mapping[str, tuple[int, ...]],
    attributes: Mapping[str, Any],
) -> dict[str, NDArray[Any]]:
    """The arrays of a fastMRI file with k-space as (slices, coils, rows, columns).

    Args:
        path: The file, for errors.
        arrays: Its arrays ``KEPT``.
        references: The shapes of its reference images by name.
        attributes: Its attributes, of which ``PADDING`` say between which columns a scanner
            measured at all.

    Returns:
        k-space, and its mask and sensitivities where the file holds them.

    Raises:
        InputError: What else the file holds contradicts the layout.
    """
    kspace = arrays["kspace"]
    kept = {name: array for name, array in arrays.items() if name != "kspace"}
    counts = {shape[0] if len(shape) > 2 else 1 for shape in references.values()}
    maps = kept["sensitivities"].shape if "sensitivities" in kept else None
    if kspace.ndim == 3 and counts == {1}:
        kspace = kspace[None]  # one image, so the first axis counts its coils
    elif kspace.ndim not in (3, 4) or counts - {len(kspace)} or maps == kspace.shape:
        shapes = {**references, **{name: array.shape for name, array in kept.items()}}
        beside = " and ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(
            f"{path.name} has k-space {kspace.shape} beside {beside or 'marks of fastMRI'}, so "
            f"which axis counts its coils is unclear; {REMEDY}."
        )
    elif kspace.ndim == 3:
        kspace = kspace[:, None]  # slices of one coil
    if "mask" in kept and kept["mask"].shape == kspace.shape[-1:]:
        kept["mask"] = _measured(kept["mask"], attributes)
    return {"kspace": kspace, **kept}


def _measured(mask: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The mask of columns without those that only pad k-space."""
    columns = np.arange(len(mask))
    first = int(attributes.get(PADDING[0], 0))
    last = int(attributes.get(PADDING[1], 0)) or len(mask)
    return np.asarray((mask != 0) & (columns >= first) & (columns < last))
