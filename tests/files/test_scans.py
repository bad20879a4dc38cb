"""Files as stacks: units, grids and formats."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from unfog.files.formats import contact_sheet, read_scan
from unfog.files.nifti import new_volume
from unfog.files.scans import NiftiScan, PictureScan

ORIENTATIONS = [
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def turned(order: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray[Any, Any]:
    affine = np.eye(4)
    affine[:3, :3] = np.diag([2.0, 3.0, 4.0])[:, order] * signs
    affine[:3, 3] = (5, -6, 7)
    return affine


@pytest.mark.parametrize("dims", [2, 3])
def test_a_volume_in_any_of_48_orientations_is_written_as_it_was_read(
    tmp_path: Path, dims: int
) -> None:
    data = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    for k, (order, signs) in enumerate(ORIENTATIONS):
        affine = turned(order, signs)
        scan = NiftiScan(new_volume(data, affine), dims)
        written: Any = nib.load(scan.write(tmp_path, f"v{k}", scan.values))
        np.testing.assert_array_equal(written.get_fdata(), data)
        np.testing.assert_allclose(written.affine, affine, atol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_finer_grid_samples_the_same_space(dims: int) -> None:
    """Block averages of a field that is linear in mm, on the finer grid, are the field on the
    coarse one.
    """
    slope = np.array([1.0, -2.0, 0.5])
    for order, signs in ORIENTATIONS:
        coarse = NiftiScan(new_volume(np.zeros((3, 4, 5), np.float32), turned(order, signs)), dims)
        fine = coarse.finer(2)
        fields = []
        for volume in (coarse.volume, fine.volume):
            grid = np.stack(np.meshgrid(*map(np.arange, volume.data.shape), indexing="ij"), -1)
            field = (grid @ volume.affine[:3, :3].T + volume.affine[:3, 3]) @ slope
            fields.append(NiftiScan(new_volume(field, volume.affine), dims).values)
        whole, detail = fields
        for axis in range(2, whole.ndim):
            detail = 0.5 * (
                np.take(detail, range(0, detail.shape[axis], 2), axis)
                + np.take(detail, range(1, detail.shape[axis], 2), axis)
            )
        np.testing.assert_allclose(detail, whole, atol=1e-4)


def test_units_of_volumes_follow_their_values() -> None:
    ramp = np.linspace(0, 1, 1000).reshape(10, 10, 10)
    noisy = ramp + np.random.default_rng(0).normal(scale=0.05, size=ramp.shape)
    for data, expected in (
        (noisy, (0, 1)),
        (1000 * ramp, (0, 1000)),
        (2000 * ramp - 1000, (-1000, 2000)),
    ):
        offset, scale = NiftiScan(new_volume(data, np.eye(4)), 2).units(0, 1)
        assert offset == pytest.approx(expected[0], abs=15)
        assert scale == pytest.approx(expected[1], rel=0.02)


def test_a_constant_volume_has_units() -> None:
    assert NiftiScan(new_volume(np.zeros((4, 4, 4)), np.eye(4)), 2).units(0, 1) == (0, 1)


def test_sixteen_bits_stay_exact(tmp_path: Path) -> None:
    values = np.arange(0, 65536, 1024, dtype=np.float32).reshape(1, 1, 8, 8)
    scan = PictureScan(values, 65535.0)
    again = read_scan(scan.write(tmp_path, "deep", values), 2, 1)
    np.testing.assert_array_equal(again.values, values)
    assert again.units(0, 1) == (0, 65535)


def test_an_array_keeps_its_axes(tmp_path: Path) -> None:
    for shape in ((8, 8), (1, 8, 8), (3, 1, 8, 8)):
        np.save(tmp_path / "x.npy", np.ones(shape))
        scan = read_scan(tmp_path / "x.npy", 2, 1)
        assert np.load(scan.write(tmp_path, "y", scan.values)).shape == shape
        (tmp_path / "y.npy").unlink()


def test_a_contact_sheet_holds_every_picture() -> None:
    pictures = np.arange(5, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(3, 2)
    sheet = contact_sheet(pictures, gap=1)
    assert sheet.shape == (1 + 2 * 3, 1 + 3 * 4)
    assert [int((sheet == k).sum()) for k in range(5)] == [6] * 5
