"""``head-ct``: attenuation in known units, upright, and splits that keep their distance; cells are
exact averages.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unfog.data import open_dataset
from unfog.data.builtin import head_ct
from unfog.data.builtin.head_ct import SLABS, HeadCT
from unfog.data.builtin.packages import is_fetched
from unfog.data.builtin.slabs import Slabs, cell_weights
from unfog.errors import InputError

fetched = pytest.mark.skipif(
    not is_fetched("invesalius-examples"),
    reason="head-ct is not in the cache; run `unfog data fetch head-ct`",
)


def test_cells_average_what_they_cover() -> None:
    ramp = np.arange(10, dtype=np.float32)
    centres = np.array([2.0, 4.5, 7.0], np.float32)
    weights = cell_weights(centres, 2.5, 0.0, 10)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(weights @ ramp, centres, atol=1e-6)


def test_slabs_and_their_gaps() -> None:
    slabs = Slabs({"test": (10.0, 12.0)}, gap=3.0)
    assert [slabs.split_of(z) for z in (6.9, 7.0, 9.9, 10.0, 12.0, 15.0, 15.1)] == [
        "train",
        None,
        None,
        "test",
        "test",
        None,
        "train",
    ]
    assert slabs.inside(np.array([6.0, 8.0, 11.0], np.float32), "all").all()


@fetched
def test_slices_are_attenuation_and_keep_their_distance() -> None:
    data = {split: HeadCT(split) for split in ("train", "validation", "test")}
    assert {split: (one.shape, len(one)) for split, one in data.items()} == {
        "train": ((1, 96, 96), 71),
        "validation": ((1, 96, 96), 6),
        "test": ((1, 96, 96), 8),
    }
    for a in data:
        for b in data:
            assert a == b or np.abs(data[a].z_mm[:, None] - data[b].z_mm).min() > SLABS.gap
    x = data["test"].batch(range(8))["x"].numpy()[:, 0]
    brain = x[:, 40:56, 40:56]
    assert np.median(brain) == pytest.approx((1000 + 35) / 2500, abs=0.008)  # 35 HU
    assert np.median(x[:, :, :3]) < 0.005  # air at the side
    assert x[:, :48].max((1, 2)).mean() > 0.7  # the skull
    assert (
        np.sort(x[:, :20, 30:66].reshape(8, -1))[:, :40] < 0.1
    ).all()  # the frontal sinuses, in front, hold air: up in the picture


@fetched
def test_oblique_planes_meet_nothing_that_is_held_out() -> None:
    data, plain = HeadCT("train", oblique=20, tilt=8), HeadCT("train")
    assert len(data) == len(plain) + 20
    assert all(SLABS.split_of(float(z)) == "train" for z in data.z_mm)
    assert data.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("options", "word"), [({"split": "training"}, "split"), ({"oblique": -1}, "0 or more")]
)
def test_bad_options(options: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        open_dataset("head-ct", **options)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Cranium.inv3"
    path.write_bytes(b"not a tar")
    with pytest.raises(InputError, match=r"Cranium.inv3 in the cache is damaged"):
        head_ct._matrix(path)
