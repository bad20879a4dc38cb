"""Coil sensitivities, simulated and found in the scan's own k-space, and the noise of raw data."""

from __future__ import annotations

import pytest
import torch

from unfog.core.random import normal
from unfog.errors import InputError
from unfog.physics.coils import birdcage, self_calibrated
from unfog.physics.fourier import Coils, ComplexOf, Fourier, SliceCoils, to_complex
from unfog.physics.linear import adjoint_error
from unfog.physics.noise import estimate_edge_sigma, estimate_ray_sigma
from unfog.physics.operators import Weights
from unfog.physics.radon import ParallelBeam


def head(size: int) -> torch.Tensor:
    """A smooth disc, (1, 1, size, size), brightest in the middle."""
    line = torch.linspace(-1, 1, size)
    return torch.sigmoid(12 * (0.7 - torch.hypot(line[:, None], line)))[None, None]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_birdcage_sees_every_place_with_the_same_power_and_each_coil_its_own_side() -> None:
    maps = birdcage(8, (24, 20))
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(24, 20, dtype=torch.float64))
    peaks = {tuple(divmod(int(one.abs().argmax()), 20)) for one in maps}
    assert len(peaks) == 8


def test_sensitivities_are_found_in_the_middle_of_k_space() -> None:
    truth, x = birdcage(4, (32, 32)), head(32)
    kspace = to_complex((Fourier() @ Coils(truth) @ ComplexOf())(x))[0]
    found, inside = self_calibrated(kspace, 16), x[0, 0] > 0.9
    error = (found - truth).abs()[:, inside]
    assert float(error.max()) < 0.05  # a positive image adds no phase
    image = to_complex(
        Coils(found).adjoint(Fourier().adjoint((Fourier() @ Coils(truth) @ ComplexOf())(x)))
    )
    assert float((image.real - x).abs()[0, 0][inside].max()) < 0.02
    with pytest.raises(InputError, match="middle of k-space is empty"):
        self_calibrated(torch.zeros(2, 8, 8, dtype=torch.complex64))


def test_every_image_may_have_its_own_coils() -> None:
    maps = torch.stack([birdcage(3, (8, 8)), birdcage(3, (8, 8), 2.0)])
    operator, x = SliceCoils(maps) @ ComplexOf(), normal((2, 1, 8, 8), [generator(1), generator(2)])
    for k in range(2):
        torch.testing.assert_close(
            operator(x)[k : k + 1], (Coils(maps[k]) @ ComplexOf())(x[k : k + 1])
        )
        torch.testing.assert_close(operator.of([k])(x[k : k + 1]), operator(x)[k : k + 1])
    assert adjoint_error(operator, x.shape, generator()) < 1e-12


def test_weights_are_their_spectrum() -> None:
    weights = torch.rand(1, 1, 4, 5, generator=generator(), dtype=torch.float64)
    operator, y = (
        Weights(weights),
        torch.randn(2, 1, 4, 5, generator=generator(1), dtype=torch.float64),
    )
    assert adjoint_error(operator, (2, 1, 4, 5), generator()) < 1e-12
    ridge = torch.tensor(0.3, dtype=torch.float64)
    torch.testing.assert_close(operator.tikhonov(y, ridge), weights * y / (weights**2 + 0.3))
    with pytest.raises(InputError, match="below zero"):
        Weights(-weights)


def test_the_noise_of_k_space_is_read_far_from_its_middle() -> None:
    clean = (Fourier() @ Coils(birdcage(8, (64, 64))) @ ComplexOf())(head(64))
    mask = torch.zeros(64, dtype=torch.bool)
    mask[::3], mask[28:36] = True, True
    for sigma in (0.02, 0.2):
        noisy = clean + sigma * torch.randn(clean.shape, generator=generator())
        assert float(estimate_edge_sigma(noisy * mask)[0]) == pytest.approx(sigma, rel=0.05)


def test_the_noise_of_a_sinogram_is_read_from_differences_along_the_detectors() -> None:
    clean = ParallelBeam(torch.arange(0, 180, 6.0), 64)(head(64))
    for sigma in (0.1, 1.0):
        noisy = clean + sigma * torch.randn(clean.shape, generator=generator())
        assert float(estimate_ray_sigma(noisy)[0]) == pytest.approx(sigma, rel=0.06)
    with pytest.raises(InputError, match="5 detectors"):
        estimate_ray_sigma(torch.zeros(1, 1, 9, 4))
