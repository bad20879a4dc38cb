r"""``head-ct``: one real head in CT, 108 axial slices of 0.957 mm pixels, 1.5 mm apart, from
InVesalius' examples (GPL-2, fetched).

Values are X-ray attenuation in units of 2.5 times water's, which is what a sinogram sums along its
rays,

    x = (HU + 1000) / 2500, cut to [0, 1]:     air 0, water 0.4, bone of 1500 HU and above 1.

Slices are resampled by exact averages over cells of 2.5 mm, 96 x 96 of them about the centre of the
field of view, front up; left and right are as in the file. It is one subject, with a repaired skull
and a head rest, so the splits are slabs, in mm above the lowest slice:

    test        84 .. 94.5, the lateral ventricles, 8 slices
    validation  126 .. 133.5, 6 slices
    train       every other slice with enough head that is more than 6 mm from both slabs
"""

from __future__ import annotations

import tarfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unfog.data.builtin.packages import member
from unfog.data.builtin.slabs import SPLITS, Slabs, Tilted, axial_slices, cell_weights
from unfog.data.dataset import ArrayDataset, choose, datasets
from unfog.errors import InputError

Array = NDArray[np.float32]

SLABS = Slabs({"test": (84.0, 94.5), "validation": (126.0, 133.5)}, gap=6.0)
# of the file: slices, rows, columns; mm in the plane and between slices
SHAPE, PIXEL, SPACING = ((108, 256, 256), 0.9570312, 1.5)
AIR, SPAN = -1000.0, 2500.0  # HU at x = 0, and from 0 to 1
CELLS, CELL = 96, 2.5  # a side, mm
# of the field of view, in slices and oblique planes; what is no air
LEAST_HEAD, LEAST_OBLIQUE, MATTER = (0.1, 0.25, 0.2)


@datasets.register("head-ct")
class HeadCT(ArrayDataset):
    """Axial slices of X-ray attenuation, (1, 96, 96) in [0, 1]; ``z_mm`` (samples,) are their
    heights above the lowest slice.

    Args:
        split: ``train``, ``validation``, ``test`` or ``all``.
        oblique: The number of oblique planes to add; they meet nothing of the head outside the
            split (``data.builtin.oblique``).
        tilt: Their largest angle, in degrees.
    """

    def __init__(self, split: str = "train", oblique: int = 0, tilt: float = 15.0) -> None:
        choose("The split of head-ct", split, SPLITS)
        if oblique < 0:
            raise InputError(f"head-ct takes oblique planes, 0 or more, not {oblique}.")
        volume = _volume()
        # Heights in mm; the splits, and the slices with enough head.
        heights = SPACING * np.arange(volume.shape[2], dtype=np.float32)
        volumes = {"ct": volume, "mask": (volume > MATTER).astype(np.float32)}
        enough, inside = volumes["mask"].mean((0, 1)) >= LEAST_HEAD, SLABS.inside(heights, split)
        # Oblique planes want 1 unit between slices, so lengths are in units of the spacing.
        rise = np.asarray((np.arange(CELLS) - (CELLS - 1) / 2) * CELL / SPACING, dtype=np.float32)
        stack, z = axial_slices(
            volumes, heights / SPACING, inside, enough, rise, Tilted(oblique, tilt, LEAST_OBLIQUE)
        )
        self.z_mm = SPACING * z
        options = {"split": split, "oblique": oblique, "tilt": tilt}
        super().__init__(
            "head-ct", stack["ct"], {"name": "range", "low": 0, "high": 1}, options=options
        )


@cache
def _volume() -> Array:
    """The head's attenuation (X, Y, Z) in cells of 2.5 mm in the plane, y growing to the front."""
    file = member("invesalius-examples", "Cranium.inv3")
    hounsfield = np.frombuffer(_matrix(file), "<i2").reshape(SHAPE).astype(np.float32)
    attenuation = np.clip(hounsfield - AIR, 0, None) / np.float32(SPAN)
    centres = np.asarray(
        (SHAPE[1] - 1) / 2 + (np.arange(CELLS) - (CELLS - 1) / 2) * CELL / PIXEL, dtype=np.float32
    )
    # Exact averages over the cells, along both axes of the plane.
    weights = cell_weights(centres, CELL / PIXEL, 0.0, SHAPE[1])
    cells = np.einsum("yi,zij,xj->xyz", weights, attenuation, weights, optimize=True)
    return np.ascontiguousarray(np.clip(cells, 0, 1), dtype=np.float32)


def _matrix(file: Path) -> bytes:
    """The voxels of an InVesalius project, a gzip-ed tar with a member matrix.dat of int16; rows of
    the file grow to the front.
    """
    size = 2 * int(np.prod(SHAPE))  # bytes
    try:
        with tarfile.open(file, "r:gz") as bundle:
            for info in bundle:
                if (
                    info.isreg()
                    and info.name.endswith("/matrix.dat")
                    and info.size == size
                    and (stream := bundle.extractfile(info))
                ):
                    return stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InputError(
            f"{file.name} in the cache is damaged; delete its folder and fetch it again."
        ) from error
    raise InputError(
        f"{file.name} in the cache holds no matrix.dat of {size} bytes; delete its folder and "
        "fetch it again."
    )
