"""Patches of volumes: where they lie, and that a draw is a function of its generator."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from unfog.core.random import generator
from unfog.data.dataset import open_dataset
from unfog.data.patches import Patches
from unfog.errors import InputError


def _volume(shape=(12, 10, 9)):
    """A volume whose values tell their place."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return (10000 * x + 100 * y + z).astype(np.float32)


def _patches(**options):
    codec = {"name": "identity"}
    return Patches("volumes", {"a": _volume()}, 6, codec, (1, 1, 2), floor=-1, **options)


def test_a_patch_is_a_cube_of_the_volume():
    data, volume = _patches(), _volume()
    assert data.shape == (1, 6, 6, 6)
    covered = np.zeros_like(volume, bool)
    for cube in data.batch(range(len(data)))["x"][:, 0].numpy():
        told = int(cube[0, 0, 0])
        x, y, z = told // 10000, told // 100 % 100, told % 100
        place = tuple(slice(a, a + 6) for a in (x, y, z))
        assert np.array_equal(cube, volume[place])
        covered[place] = True
    assert covered.all()


def test_training_moves_patches_by_their_generator_alone():
    data = _patches()
    draws = [data.draw([0, 3], [generator(0, s, k) for k in (0, 3)])["x"] for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    alone = data.draw([3], [generator(0, 1, 3)])["x"]
    assert torch.equal(alone[0], draws[0][1])
    corners = {float(data.draw([0], [generator(k)])["x"][0, 0, 0, 0, 0]) for k in range(300)}
    assert len(corners) == 3**3  # up to 2 voxels inwards along each axis


def test_volumes_too_small_or_empty_are_refused():
    with pytest.raises(InputError, match=r"set data\.patch to 9 or less"):
        Patches("volumes", {"a": _volume()}, 10, {"name": "identity"}, (1, 1, 1))
    with pytest.raises(InputError, match="No patch of volumes reaches"):
        _patches(least=2.0)


def test_a_folder_of_nifti_gives_patches_with_its_voxel_size(tmp_path):
    for k in range(2):
        affine = np.diag([2.0, 2.0, 3.0, 1])
        nib.save(nib.Nifti1Image(_volume() + k, affine), tmp_path / f"v{k}.nii.gz")
    section = {"name": "nifti", "path": str(tmp_path), "dims": 3, "patch": 8}
    data = open_dataset(section)
    assert data.shape == (1, 8, 8, 8)
    assert data.voxel == (2.0, 2.0, 3.0)
