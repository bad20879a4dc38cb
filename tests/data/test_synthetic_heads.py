"""Simulated heads: fields and distances in closed form, and a data set that draws what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unfog.core.random import generators
from unfog.data import open_dataset
from unfog.data.synthesis.anatomy import coordinates, ellipsoid, head
from unfog.data.synthesis.appearance import contrast
from unfog.data.synthesis.fields import coverage, smooth_field, spline_basis, zero_distance
from unfog.data.synthesis.scanner import thick_slices
from unfog.errors import InputError

SMALL = {"name": "synthetic-heads", "count": 6, "size": 48, "patch": 16}


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_splines_are_a_partition_of_one() -> None:
    for spacing, shift in ((1.0, 0.3), (4.7, 0.0), (30.0, 0.9)):
        basis = spline_basis(40, spacing, shift)
        assert np.allclose(basis.sum(1), 1, atol=1e-5)


def test_a_field_has_mean_0_and_variance_1() -> None:
    values = np.stack([smooth_field(random(k), (24, 24, 24), 3.0) for k in range(20)])
    assert abs(values.mean()) < 0.05
    assert values.var() == pytest.approx(1, abs=0.1)


def test_distances_to_a_plane_and_to_a_sphere() -> None:
    """Of a plane exact, whatever the field's slope; of a sphere near its surface."""
    x = np.arange(20, dtype=np.float32)[:, None, None] + np.zeros((20, 20, 20), np.float32)
    assert np.allclose(zero_distance(3 * (x - 7.5), 2.0), 2 * (x - 7.5), atol=1e-3)
    line = (np.arange(40, dtype=np.float32) - 19.5)[:, None, None]
    points = [np.broadcast_to(np.moveaxis(line, 0, k), (40, 40, 40)) for k in range(3)]
    distance = ellipsoid(points, np.array([12.0, 12, 12]))
    radius = np.sqrt(sum(p**2 for p in points))
    near = np.abs(radius - 12) < 1
    assert np.allclose(distance[near], (12 - radius)[near], atol=0.1)
    # Partial volume: the sphere's volume to half a percent, far below a voxel's layer.
    assert coverage(distance, 1.0).sum() == pytest.approx(4 / 3 * np.pi * 12**3, rel=5e-3)


def test_thick_slices_average_their_planes() -> None:
    """A ramp stays one, sampled at the slices; noise loses variance."""
    ramp = np.arange(40, dtype=np.float32)[:, None, None] + np.zeros((40, 4, 4), np.float32)
    thick = thick_slices(ramp, 2.5, 0, 1.0)
    assert np.allclose(thick[3:-3, 0, 0], 2.5 * np.arange(len(thick))[3:-3], atol=1e-3)
    noise = random().standard_normal((60, 20, 20)).astype(np.float32)
    assert thick_slices(noise, 3.0, 0, 1.0).var() < 0.4


def test_contrasts_come_in_any_order() -> None:
    levels = [contrast(random(k)) for k in range(60)]
    brighter = [one["grey"] > one["white"] for one in levels]
    assert 10 < sum(brighter) < 50
    assert all(0 <= value <= 1 for one in levels for value in one.values())


def test_a_head_lies_in_air_and_folds() -> None:
    """Air about a whole head is 0; within it neighbours differ, more than in a smooth body."""
    image = head(random(3), 48, 4.0)
    assert image.shape == (48, 48, 48)
    assert np.isfinite(image).all()
    corner = np.abs(image[:3, :3, :3]).mean()
    middle = image[20:28, 20:28, 20:28]
    assert middle.std() > 10 * corner or middle.mean() > corner


def test_a_sample_is_a_function_of_its_number() -> None:
    data, again = open_dataset(SMALL), open_dataset({**SMALL, "kept": 1})
    one, other = data.batch([3, 1]), again.batch([1, 3])
    assert torch.equal(one["x"], other["x"].flip(0))
    assert torch.equal(one["voxel"], other["voxel"].flip(0))
    assert data.fingerprint == again.fingerprint  # what is kept in memory changes no sample
    assert one["x"].shape == (2, 1, 16, 16, 16)
    assert 0 <= float(one["x"].min()) <= float(one["x"].max()) <= 1
    assert not torch.equal(open_dataset({**SMALL, "seed": 1}).batch([3])["x"], one["x"][:1])


def test_training_draws_elsewhere_with_the_axes_in_any_order() -> None:
    data = open_dataset(SMALL)
    one, other = (data.draw([2], generators(0, [k])) for k in (0, 1))
    assert not torch.equal(one["x"], other["x"])
    assert torch.equal(data.draw([2], generators(0, [0]))["x"], one["x"])
    assert torch.equal(one["voxel"].sort().values, other["voxel"].sort().values)


def test_slices_and_bad_options() -> None:
    assert open_dataset({**SMALL, "dims": 2}).batch([0])["x"].shape == (1, 1, 16, 16)
    with pytest.raises(InputError, match=r"data\.patch=17"):
        open_dataset({**SMALL, "patch": 17})
    with pytest.raises(InputError, match="split"):
        open_dataset({**SMALL, "split": "dev"})


def test_smooth_fields_move_points() -> None:
    class Fields:
        shape, voxel = (8, 8, 8), 2.0

        def field(self, millimetres: float) -> np.ndarray:
            return np.full(self.shape, 1.0, np.float32)

    points = coordinates(Fields(), np.array([1.0, 0, 0]), ((10, 3.0),))  # type: ignore[arg-type]
    assert np.allclose(points[0][:, 0, 0], (np.arange(8) - 3.5) * 2 - 1 + 3)
