"""``mni-t1``: the MNI152 2009a T1 template with grey- and white-matter maps: one averaged,
left-right symmetric brain.

The template is cut out of its background already (0 outside the brain); intensities are divided by
255 into [0, 1]. It is one subject, so the splits are slabs of axial slices, in mm of MNI z (1 mm
apart):

    test        5 .. 14, the lateral ventricles
    validation  60 .. 67, near the vertex: the slices next to the test slab are worth more in
                training
    train       every other slice with enough brain that is more than 6 mm from both slabs

Source: Fonov et al. 2011, as packaged by nilearn. Results on these splits are about a held-out
slab, not about new subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.data.builtin.packages import member
from unfog.data.builtin.slabs import SPLITS, Slabs, Tilted, axial_slices, cell_weights
from unfog.data.dataset import ArrayDataset, Ids, choose, datasets
from unfog.errors import InputError
from unfog.files.nifti import new_volume, read_nifti
from unfog.files.slices import to_volume

Array = NDArray[np.float32]

SLABS = {"test": (5, 14), "validation": (60, 67)}  # first and last slice, mm
GAP = 6  # mm on each side of a slab that are in no split
# of the field of view, in axial slices and in oblique planes
LEAST_BRAIN, LEAST_OBLIQUE = (0.05, 0.4)
_FIELD = (160.0, 192.0, 160.0)  # mm in x, y, z
_CENTRE = (-0.5, -16.5, 4.5)  # mm: the brain's, such that cells of 2 mm hold whole voxels
_SPLITTING = Slabs(SLABS, GAP)
split_of = _SPLITTING.split_of


@cache
def _source(part: str) -> tuple[Array, NDArray[np.float64]]:
    """One map of the template (197, 233, 189) in [0, 1], and its affine."""
    path = member("nilearn", f"_{part}_tal_nlin_sym_09a_converted.nii.gz")
    volume = read_nifti(path)
    return volume.data / np.float32(255), volume.affine


def _cells(axis: int, size: float) -> Array:
    """Centres (mm) of the cells of ``size`` mm along an axis of the field of view."""
    count = round(_FIELD[axis] / size)
    if abs(count * size - _FIELD[axis]) > 1e-6 or size < 1:
        raise InputError(
            f"mni-t1 needs a resolution that divides 160 and 192 mm, such as 1, 2 or 4, not {size}."
        )
    return np.asarray(_CENTRE[axis] + (np.arange(count) - (count - 1) / 2) * size, dtype=np.float32)


def _resample(
    volume: Array, affine: NDArray[np.float64], centres: Sequence[Array], sizes: Sequence[float]
) -> Array:
    """A map averaged exactly over cells about ``centres`` of ``sizes`` (mm), axis by axis."""
    for axis in range(3):
        weights = cell_weights(
            centres[axis], sizes[axis], float(affine[axis, 3]), volume.shape[axis]
        )
        volume = np.moveaxis(np.tensordot(weights, volume, (1, axis)), 0, axis)
    return np.ascontiguousarray(volume, dtype=np.float32)


def head(resolution: float) -> tuple[Array, Array]:
    """The T1 template (X, Y, Z) in [0, 1] on isotropic voxels of so many mm, and the heights (Z,)
    of their centres in mm.
    """
    centres = [_cells(axis, resolution) for axis in range(3)]
    return _resample(*_source("t1"), centres, (resolution,) * 3), centres[2]


@datasets.register("mni-t1")
class MniT1(ArrayDataset):
    """Axial slices of the T1 template (1, 192/resolution, 160/resolution), 1 mm apart; in 3-D the
    whole head (1, X, Y, Z), or its cubes.

    ``z_mm`` (samples,) are the heights of the slices (of the centres of planes and cubes),
    ``affine`` that of the stack of slices or of the head.

    Args:
        split: ``train``, ``validation``, ``test`` or ``all``. A cube belongs to a split when all of
            it does; the whole head is of split ``all``.
        dims: 2 for slices, 3 for the head or cubes.
        resolution: The size of a pixel in the plane in 2-D, and of a voxel in 3-D, in mm.
        tissue: Whether to add the grey- and white-matter maps as the condition ``tissue``.
        patch: In 3-D, the side of the cubes in voxels; without it the whole head.
        oblique: In 2-D, the number of oblique planes to add, all of their brain within the split
            (``data.builtin.oblique``).
        tilt: Their largest angle, in degrees.
    """

    def __init__(
        self,
        split: str = "train",
        dims: int = 2,
        resolution: float = 2.0,
        tissue: bool = False,
        patch: int | None = None,
        oblique: int = 0,
        tilt: float = 15.0,
    ) -> None:
        _check(split, dims, oblique)
        # The maps in cells of the resolution.
        sizes = (resolution, resolution, resolution if dims == 3 else 1.0)
        centres = [_cells(axis, size) for axis, size in enumerate(sizes)]
        volumes = {
            part: _resample(*_source(part), centres, sizes)
            for part in (("t1", "gm", "wm") if tissue else ("t1",))
        }
        t1, frame = _source("t1")
        volumes["mask"] = _resample((t1 > 0).astype(np.float32), frame, centres, sizes)
        # The samples of the split.
        if dims == 2:
            stack, self.z_mm = _axial(volumes, centres, split, oblique, tilt)
        else:
            stack, self.z_mm = _cubes(volumes, centres[2], split, patch)
        bottom = self.z_mm[0] if dims == 2 else centres[2][0]
        self.affine = np.diag([*sizes, 1.0])
        self.affine[:3, 3] = [centres[0][0], centres[1][0], bottom]
        self._mask = stack["mask"] >= 0.5
        maps = {"tissue": np.concatenate([stack["gm"], stack["wm"]], 1)} if tissue else {}
        config = {key: {"name": "spatial", "channels": 2} for key in maps}
        options: dict[str, Any] = {"split": split, "dims": dims, "resolution": resolution}
        options |= {"tissue": tissue, "patch": patch}
        options |= {"oblique": oblique, "tilt": tilt} if oblique else {}
        super().__init__(
            "mni-t1", stack["t1"], {"name": "range", "low": 0, "high": 1}, config, maps, options
        )

    def brain_mask(self, ids: Ids) -> NDArray[np.bool_]:
        """The brain masks of these samples, (batch, 1, *space): True where at least half of a voxel
        is brain.
        """
        return np.asarray(self._mask[np.asarray(ids, dtype=np.int64)])


def _check(split: str, dims: int, oblique: int) -> None:
    choose("The split of mni-t1", split, SPLITS)
    choose("The dims of mni-t1", dims, (2, 3))
    if oblique < 0 or (oblique and dims == 3):
        raise InputError(
            f"mni-t1 takes oblique planes, 0 or more, with dims 2, not {oblique} with dims {dims}."
        )


def _axial(
    volumes: dict[str, Array], centres: Sequence[Array], split: str, oblique: int, tilt: float
) -> tuple[dict[str, Array], Array]:
    """The axial slices of a split, then its oblique planes."""
    enough = volumes["mask"].mean((0, 1)) >= LEAST_BRAIN
    inside = _SPLITTING.inside(centres[2], split)
    return axial_slices(
        volumes,
        centres[2],
        inside,
        enough,
        centres[1] - centres[1].mean(),
        Tilted(oblique, tilt, LEAST_OBLIQUE),
    )


def _cubes(
    volumes: dict[str, Array], heights: Array, split: str, patch: int | None
) -> tuple[dict[str, Array], Array]:
    """Half-overlapping cubes that lie in ``split`` and hold enough brain; without ``patch`` the
    whole head.
    """
    if patch is None:
        if split != "all":
            raise InputError(
                "mni-t1 in 3-D is one head: choose split 'all', or cubes with patch, such as 16."
            )
        return {part: volume[None, None] for part, volume in volumes.items()}, heights[
            [len(heights) // 2]
        ]
    shape = volumes["mask"].shape
    if not 2 <= patch <= min(shape):
        raise InputError(f"mni-t1 cubes must measure 2 to {min(shape)} voxels, not {patch}.")
    inside = _SPLITTING.inside(heights, split)
    # Runs of slices within the split: the first of each, and one past its last.
    edges = np.flatnonzero(np.diff(inside, prepend=False, append=False)).reshape(-1, 2)
    # Corners of the half-overlapping cubes in these runs with enough brain.
    corners = [
        (i, j, k)
        for first, end in edges
        for k in range(first, end - patch + 1, patch // 2)
        for j in range(0, shape[1] - patch + 1, patch // 2)
        for i in range(0, shape[0] - patch + 1, patch // 2)
        if volumes["mask"][i : i + patch, j : j + patch, k : k + patch].mean() >= LEAST_BRAIN
    ]
    if not corners:
        raise InputError(
            f"No cube of {patch} voxels lies within the split {split!r} of mni-t1; choose a "
            "smaller patch."
        )
    # The cubes of every map, and the heights of their centres.
    cut = {
        part: np.stack([v[i : i + patch, j : j + patch, k : k + patch] for i, j, k in corners])[
            :, None
        ]
        for part, v in volumes.items()
    }
    return cut, np.array([heights[k : k + patch].mean() for _, _, k in corners], dtype=np.float32)


def slab_nifti(split: str = "test", resolution: float = 2.0) -> Any:
    """The slab of a held-out split, or ``all``, as a nibabel image in MNI space; ``to_slices`` of
    its data are the samples of ``mni-t1``.

    ``train`` is not one slab, since the gaps and the other splits are cut out of it, and is
    refused. ``resolution`` is in the plane, in mm.
    """
    choose("A slab of mni-t1", split, (*SLABS, "all"))
    data = MniT1(split, resolution=resolution)
    return new_volume(
        to_volume(data.batch(range(len(data)))["x"].numpy()), data.affine, code="mni"
    ).image()
