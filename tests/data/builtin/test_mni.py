"""``mni-t1``: upright brains, and splits that keep their distance."""

from __future__ import annotations

import numpy as np
import pytest

from unfog.data import open_dataset
from unfog.data.builtin.mni import GAP, SLABS, MniT1, slab_nifti, split_of
from unfog.data.builtin.oblique import planes
from unfog.data.builtin.packages import member
from unfog.data.volumes import scaled
from unfog.errors import InputError
from unfog.files.slices import to_slices, to_volume


@pytest.fixture(autouse=True, scope="module")
def _fetched() -> None:
    try:
        member("nilearn", "_t1_tal_nlin_sym_09a_converted.nii.gz")
    except InputError as error:
        pytest.skip(str(error))


def test_slices() -> None:
    data = MniT1("train", tissue=True)
    batch = data.batch(range(len(data)))
    assert (data.shape, len(data)) == ((1, 96, 80), 98)
    assert batch["tissue"].shape == (98, 2, 96, 80)
    assert float(batch["x"].min()) == 0
    assert 0.85 < float(batch["x"].max()) <= 1
    assert data.conditions == {"tissue": {"name": "spatial", "channels": 2}}


def test_splits_keep_their_distance() -> None:
    heights = {split: MniT1(split).z_mm for split in ("train", "validation", "test")}
    assert {split: (z[0], z[-1], len(z)) for split, z in heights.items() if split in SLABS} == {
        "test": (5, 14, 10),
        "validation": (60, 67, 8),
    }
    for a in heights:
        for b in heights:
            assert a == b or np.abs(heights[a][:, None] - heights[b]).min() > GAP


def test_a_brain_is_upright_and_symmetric() -> None:
    data = MniT1("test")
    x, mask = data.batch([0])["x"][0, 0], data.brain_mask([0])[0, 0]
    assert 0.5 < mask.mean() < 0.8
    assert not x[~mask].gt(0.5).any()
    # At the height of the commissures the back of the brain is wider than its front.
    rows = np.flatnonzero(mask.any(1))
    widths = mask.sum(1)
    assert widths[rows[0] + 20] < widths[rows[-1] - 20]
    assert float((x - x.flip(1).roll(1, 1)).abs().mean()) < 0.03


def test_a_slab_is_a_true_volume() -> None:
    data, image = MniT1("test"), slab_nifti("test")
    stack = image.get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(to_slices(stack), data.batch(range(len(data)))["x"].numpy())
    np.testing.assert_array_equal(to_volume(to_slices(stack)), stack)
    np.testing.assert_array_equal(image.affine, data.affine)
    assert int(image.header["sform_code"]) == 4
    np.testing.assert_allclose(image.affine @ [0, 0, 9, 1], [-79.5, -111.5, 14, 1])
    assert float(scaled(stack).max()) == 1


def test_oblique_planes_stay_out_of_the_held_out_slabs() -> None:
    data, plain = MniT1("train", oblique=40, tilt=15), MniT1("train")
    x = data.batch(range(len(data)))["x"].numpy()
    assert len(data) == len(plain) + 40
    assert data.fingerprint != plain.fingerprint
    np.testing.assert_array_equal(x[: len(plain)], plain.batch(range(len(plain)))["x"].numpy())
    # A head that is 1 in the held-out slabs and their gaps, 0 elsewhere: no plane may meet it where
    # there is brain.
    heights = MniT1("all").z_mm
    allowed = np.array([split_of(float(z)) == "train" for z in heights])
    head = {"mask": np.ones((4, 96, len(heights)), dtype=np.float32)}
    head["t1"] = head["mask"] * ~allowed
    cut, z = planes(
        head, heights, allowed, 30, 15, 2 * (np.arange(96, dtype=np.float32) - 47.5), 0.5
    )
    assert cut["mask"].min() == 1
    assert cut["t1"].max() == 0
    assert np.ptp(z) > 20


def test_a_plane_that_does_not_tilt_is_a_slice() -> None:
    ramp = np.broadcast_to(np.arange(5, dtype=np.float32), (3, 4, 5)).copy()
    head = {"mask": np.ones_like(ramp), "t1": ramp}
    cut, z = planes(
        head,
        np.arange(5, dtype=np.float32),
        np.ones(5, dtype=bool),
        6,
        0.0,
        np.linspace(-3, 3, 4, dtype=np.float32),
        0.5,
    )
    np.testing.assert_allclose(cut["t1"], np.broadcast_to(z, (3, 4, 6)), atol=1e-5)


def test_volumes_and_cubes() -> None:
    whole = open_dataset("mni-t1", split="all", dims=3, resolution=4)
    assert (len(whole), whole.shape) == (1, (1, 40, 48, 40))
    cubes = MniT1("test", dims=3, patch=4)
    assert cubes.shape == (1, 4, 4, 4)
    assert bool(
        ((cubes.z_mm - 4 >= SLABS["test"][0] - 1) & (cubes.z_mm + 4 <= SLABS["test"][1] + 1)).all()
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"split": "training"}, "split"),
        ({"resolution": 3}, "resolution"),
        ({"split": "validation", "oblique": 9}, "oblique"),
        ({"split": "all", "dims": 3, "oblique": 9}, "oblique"),
        ({"dims": 3}, "split 'all'"),
        ({"dims": 3, "patch": 99}, "2 to 80 voxels"),
        ({"dims": 3, "patch": 40}, "smaller patch"),
    ],
)
def test_bad_options(options: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        open_dataset("mni-t1", **options)
