"""``mni-t1-3d``: cubes of the MNI152 2009a T1 template, on isotropic voxels.

The splits are the slabs of ``mni-t1``: the test region is the slab of z = 5 .. 14 mm, and no cube
of training meets it or the 6 mm on each side of it. It is one average brain: what is held out is
anatomy, not a person.
"""

from __future__ import annotations

import numpy as np

from unfog.data.builtin.mni import GAP, SLABS, head
from unfog.data.builtin.slabs import Slabs
from unfog.data.dataset import choose, datasets
from unfog.data.patches import Patches

REGIONS = Slabs({"test": SLABS["test"]}, GAP)


@datasets.register("mni-t1-3d")
class MniT1Volume(Patches):
    """Cubes of the T1 template (1, patch, patch, patch) in [0, 1], cut at random in training.

    Args:
        split: ``train`` for what lies below and above the test region, ``all`` for the whole head.
        patch: The side of a cube, in voxels.
        resolution: The side of a voxel in mm; it divides 160 and 192.
        least: The least share of a cube's voxels above a tenth of the range.
    """

    def __init__(
        self, split: str = "train", patch: int = 32, resolution: float = 2.0, least: float = 0.1
    ) -> None:
        choose("The split of mni-t1-3d", split, ("train", "all"))
        volume, heights = head(resolution)
        inside = REGIONS.inside(heights, split)
        # Runs of slices within the split, as volumes of their own.
        edges = np.flatnonzero(np.diff(inside, prepend=False, append=False)).reshape(-1, 2)
        parts = {
            f"mni-t1-3d from z = {heights[first]:g} mm": volume[:, :, first:end]
            for first, end in edges
        }
        super().__init__(
            "mni-t1-3d",
            parts,
            patch,
            {"name": "range", "low": 0, "high": 1},
            (resolution,) * 3,
            least=least,
            options={"split": split, "resolution": resolution},
        )
