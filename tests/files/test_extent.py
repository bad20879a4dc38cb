"""The range of values does not depend on how much empty space stands around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from unfog.data import open_dataset
from unfog.files.extent import brightest, extent
from unfog.files.nifti import new_volume
from unfog.files.scans import NiftiScan
from unfog.workflows.raw import _unit
from unfog.workflows.restore_report import _stretched

Array = np.ndarray[Any, Any]


def organ(low: float = 100, high: float = 900) -> Array:
    """A ramp (8, 8, 4) of values that are all different."""
    return np.linspace(low, high, 256).reshape(8, 8, 4)


def around(data: Array, wide: int, value: float = 0) -> Array:
    """Data with ``wide`` voxels of one value on every side."""
    return np.pad(data, wide, constant_values=value)


@pytest.mark.parametrize("value", [0, -1000, -3024])
@pytest.mark.parametrize("wide", [2, 8, 30])
def test_the_extent_is_that_of_what_is_filled(wide: int, value: float) -> None:
    """0.6 % filled at the widest, where the percentile of all voxels is that of the background."""
    low, high = (100, 900) if value == 0 else (-900, 1500)
    bottom, top = extent(around(organ(low, high), wide, value))
    assert top == brightest(around(organ(low, high), wide, value))
    assert top == np.percentile(organ(low, high), 99.5)
    assert bottom == (np.percentile(organ(low, high), 0.5) if value == 0 else value)


def test_without_empty_space_it_is_the_percentile_to_the_bit() -> None:
    data = np.random.default_rng(0).normal(size=(9, 8, 7)).astype(np.float32)
    assert extent(data) == tuple(np.percentile(data, (0.5, 99.5)))
    assert brightest(data) == np.percentile(data, 99.5)


@pytest.mark.parametrize(("value", "range_"), [(0, (0, 0)), (7, (7, 7)), (-3, (-3, -3))])
def test_one_value_alone(value: float, range_: tuple[float, float]) -> None:
    assert extent(np.full((4, 4), value)) == range_
    assert brightest(np.full((4, 4), value)) == range_[1]


def test_a_mask_reaches_one() -> None:
    assert extent(around(np.ones((2, 2, 2)), 9))[1] == 1


@pytest.mark.parametrize("value", [0, -1024])
def test_units_are_the_same_whatever_stands_around(value: float) -> None:
    data = organ() if value == 0 else organ(-900, 1500)
    found = {
        NiftiScan(new_volume(around(data, wide, value), np.eye(4)), 2).units(0, 1)
        for wide in (2, 5, 20)
    }
    assert len(found) == 1
    ((offset, scale),) = found
    assert (offset, scale) == pytest.approx((value, np.percentile(data, 99.5) - value), rel=1e-6)


def test_training_volumes_are_scaled_alike(tmp_path: Path) -> None:
    middle = []
    for wide in (1, 24):
        path = tmp_path / f"{wide}.nii"
        nib.Nifti1Image(around(organ(), wide).astype(np.float32), np.eye(4)).to_filename(path)
        volumes = open_dataset(path, dims=3).batch([0])["x"][0, 0]
        middle.append(volumes[wide:-wide, wide:-wide, wide:-wide])
    assert torch.equal(*middle)
    assert middle[0].mean() == pytest.approx(500 / np.percentile(organ(), 99.5), rel=1e-3)


def test_images_of_k_space_and_pictures_of_reports_too() -> None:
    images = [torch.from_numpy(around(organ(), wide)[None]) for wide in (1, 24)]
    assert _unit(images[0], 1.0) == _unit(images[1], 1.0) == np.percentile(organ(), 99.5)
    slices = [torch.from_numpy(around(organ()[..., :1], wide)[..., wide]) for wide in (1, 60)]
    shown = [np.asarray(_stretched(image[None])) for image in slices]
    np.testing.assert_array_equal(shown[0][1:-1, 1:-1], shown[1][60:-60, 60:-60])
