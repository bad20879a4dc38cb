"""The noise of magnitudes, read from their air."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unfog.core.codec import Range
from unfog.files.nifti import new_volume
from unfog.files.scans import NiftiScan, PictureScan
from unfog.physics.air import air_sigma
from unfog.physics.noise import add_gaussian, add_rician, estimate_sigma
from unfog.physics.operators import Identity
from unfog.runs.run import Run
from unfog.workflows.problem import _problem, blind_sigma, magnitude_sigma

SHAPE = (6, 1, 96, 80)


def head(share: float, skull: float = 5.0) -> Tensor:
    """Six slices of a head that fills a share of the field: scalp, a dark skull, textured brain,
    and ventricles in it.
    """
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, SHAPE[2]), torch.linspace(-1, 1, SHAPE[3]), indexing="ij"
    )
    r = (rows**2 + columns**2 / 0.9).sqrt() / math.sqrt(share * 4 / math.pi / 0.95)
    brain = 100 + 60 * torch.sin(6 * columns) * torch.cos(5 * rows)
    image = torch.where(r < 0.4, brain - 70, brain).clamp(min=0)
    image = torch.where((r > 0.85) & (r < 0.93), torch.tensor(skull), image)
    return torch.where(r < 1, image, torch.tensor(0.0)).expand(SHAPE)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.93])
@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.7, 30.0])
def test_rician_noise_with_air_is_read_to_three_percent(share: float, sigma: float) -> None:
    y = add_rician(head(share), sigma, torch.Generator().manual_seed(0))
    assert air_sigma(y) == pytest.approx(sigma, rel=0.03)
    assert magnitude_sigma(y) == air_sigma(y)


def test_differences_of_neighbours_read_too_little_there() -> None:
    """What the air mends: 0.655 of the noise where all is air."""
    y = add_rician(head(0.5), 10.7, torch.Generator().manual_seed(0))
    assert blind_sigma(y) < 0.9 * 10.7
    alone = add_rician(torch.zeros(SHAPE), 1.0, torch.Generator().manual_seed(1))
    assert float(estimate_sigma(alone).mean()) == pytest.approx(0.65, abs=0.02)
    assert air_sigma(alone) == pytest.approx(1, rel=0.02)


def test_a_volume_is_read_plane_by_plane_and_zeros_do_not_count() -> None:
    y = add_rician(head(0.5), 7.0, torch.Generator().manual_seed(2))
    cut = y.clone()
    cut[..., :30] = 0
    assert magnitude_sigma(cut) == pytest.approx(7, rel=0.03)
    volume = torch.nn.functional.pad(y[:, 0][None, None], (0, 0, 0, 0, 2, 2))
    assert magnitude_sigma(volume) == pytest.approx(air_sigma(y))


def test_volumes_of_files_are_read_by_their_air_and_pictures_are_not() -> None:
    y = add_rician(head(0.5), 10.7, torch.Generator().manual_seed(4))
    run = Run(Path(), {}, None, Range(0, 255), (1, 96, 80), {})  # type: ignore[arg-type]
    volume = NiftiScan(new_volume(y[:, 0].movedim(0, 2).numpy(), np.eye(4)), 2)
    problem = _problem(run, volume, Identity())
    assert problem.noise(problem.y) * problem.unit == pytest.approx(10.7, rel=0.03)
    picture = _problem(run, PictureScan(y.numpy(), 255.0), Identity())
    assert picture.noise(picture.y) == blind_sigma(y)


def test_other_laws_are_read_as_before() -> None:
    """No air, noise about 0, several coils, half-Gaussian, noise that was interpolated, and
    textures.
    """
    g = torch.Generator().manual_seed(3)
    z = torch.randn(8, *SHAPE, generator=g)
    smooth = torch.nn.functional.avg_pool2d(add_rician(head(0.5), 9.0, g), 3, 1)
    ramp = torch.linspace(0, 1, 80).expand(SHAPE)
    others = {
        "no air": add_rician(200 + 0 * head(0.5), 5.0, g),
        "Gaussian": add_gaussian(head(0.5), 5.0, g),
        "coils": z.square().sum(0).sqrt(),
        "half-Gaussian": z[0].abs(),
        "interpolated": smooth,
        "texture": (ramp * torch.sin(40 * ramp) * torch.cos(30 * ramp**2)).abs(),
        "small": torch.rand(2, 1, 4, 4, generator=g),
    }
    for name, y in others.items():
        assert air_sigma(y) is None, name
        assert magnitude_sigma(y) == blind_sigma(y), name
    assert magnitude_sigma(torch.zeros(SHAPE)) == magnitude_sigma(torch.ones(2, 1, 9)) == 0
