"""Anatomies: from maps and from a scan, turned with their grid."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from support.rings import Ring, with_noise

from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.anatomy import Anatomy, anatomy_like, anatomy_of_maps
from unfog.dmri.simulation.phantom import make_phantom
from unfog.errors import InputError
from unfog.files.nifti import new_volume

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def maps(shape: tuple[int, int, int] = (12, 14, 10)) -> np.ndarray:
    """White matter on the left, grey on the right, fluid above."""
    tissue = np.zeros((*shape, 3), np.float32)
    tissue[:6, :, :7, 0], tissue[6:, :, :7, 1], tissue[:, :, 7:, 2] = 1, 1, 1
    return tissue


def volumes(tissue: np.ndarray, affine: np.ndarray = AFFINE) -> list:
    return [new_volume(tissue[..., k], affine) for k in range(3)]


def test_maps(gradients: GradientTable) -> None:
    anatomy = anatomy_of_maps(*volumes(maps()))
    np.testing.assert_array_equal(anatomy.tissue, maps())
    phantom = make_phantom(gradients[:8], seed=0, anatomy=anatomy, lesions=0)
    np.testing.assert_allclose(phantom.fractions[6:, :, :7, 3], 1)
    np.testing.assert_allclose(phantom.fractions[:6, :, :7, :3].sum(-1), 1)
    assert phantom.white.sum() == 6 * 14 * 7


def test_a_turned_grid_gives_the_same_fibres_in_the_world(gradients: GradientTable) -> None:
    """Without textures, which are drawn on the grid, bundles and their shares stay where they
    are.
    """
    orientation = np.array([[1, -1], [0, 1], [2, -1]])
    affine = AFFINE @ nib.orientations.inv_ornt_aff(orientation, maps().shape[:3])
    turned = Anatomy(nib.apply_orientation(maps(), orientation), affine)
    plain = Anatomy(maps(), AFFINE)
    one, other = (
        make_phantom(gradients[:7], seed=3, anatomy=a, lesions=0) for a in (plain, turned)
    )
    np.testing.assert_allclose(
        other.directions, nib.apply_orientation(one.directions, orientation), atol=1e-9
    )
    np.testing.assert_allclose(
        other.fractions, nib.apply_orientation(one.fractions, orientation), atol=1e-9
    )


def test_like_a_scan(ring: Ring, gradients: GradientTable) -> None:
    inside = np.ones(ring.fibrous.shape, bool)
    anatomy = anatomy_like(with_noise(ring.signal, 0.02), gradients, inside, AFFINE)
    assert anatomy.tissue[ring.fibrous][:, 0].mean() > 0.99
    assert anatomy.tissue[~ring.fibrous][:, 1].mean() > 0.95
    np.testing.assert_allclose(anatomy.tissue.sum(-1), 1)


def test_bad_maps() -> None:
    white, grey, _ = volumes(maps())
    with pytest.raises(InputError, match="not on one grid"):
        anatomy_of_maps(white, grey, volumes(maps(), np.diag([1.0, 2, 2, 1]))[2])
    with pytest.raises(InputError, match="from 0 to 1, not 0 to 255"):
        anatomy_of_maps(white, grey, volumes(255 * maps())[2])
    with pytest.raises(InputError, match="no brain"):
        anatomy_of_maps(*volumes(0 * maps()))
