"""The parts of BSRGAN's degradation, each beside what it states, and the whole."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unfog.core.conditions import LowResolutionCondition
from unfog.core.low_resolution import degradations, mixed, reduced
from unfog.core.random import generator, generators
from unfog.data.degradations import (
    BSR,
    GAMMA,
    WAYS,
    anisotropic,
    blurred,
    compressed,
    gaussian_kernel,
    isotropic,
    mixing,
    noised,
    photographed,
    shrunk,
)
from unfog.data.memory import Memory
from unfog.errors import InputError
from unfog.runs.build import build
from unfog.runs.train import configure


def picture(channels: int = 3, side: int = 64) -> Tensor:
    """A smooth picture, from -.8 to .8."""
    y, x = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    waves = [torch.sin(2 * math.pi * ((k + 1) * x + y)) for k in range(channels)]
    return 0.8 * torch.stack(waves)


def moments(kernel: Tensor) -> Tensor:
    half = len(kernel) // 2
    line = torch.arange(-half, half + 1, dtype=torch.float64)
    place = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)
    return torch.einsum("ij,ijk,ijl->kl", kernel, place, place)


def test_a_kernel_has_the_covariance_that_it_is_given() -> None:
    for k in range(10):
        for covariance in (isotropic(2.8, generator(k)), anisotropic(8.0, generator(k))):
            kernel = gaussian_kernel(covariance, half=16)
            assert float(kernel.sum()) == pytest.approx(1)
            if float(torch.linalg.eigvalsh(covariance).min()) > 0.4:
                torch.testing.assert_close(moments(kernel), covariance, atol=0.01, rtol=0)
    eigenvalues = torch.stack(
        [torch.linalg.eigvalsh(anisotropic(8.0, generator(k))) for k in range(200)]
    )
    assert 0.5 <= float(eigenvalues.min()) < 1
    assert 7 < float(eigenvalues.max()) <= 8
    # What a point becomes is the kernel itself, the right way round.
    covariance = torch.tensor([[4.0, 1.5], [1.5, 1.0]])
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 1
    seen = blurred(point, covariance)[0, 10:31, 10:31].double()
    torch.testing.assert_close(seen, gaussian_kernel(covariance))


@pytest.mark.parametrize("way", WAYS)
def test_a_reduction_keeps_lines_and_means(way: str) -> None:
    x = picture()
    small = shrunk(x, [16, 16], way)
    assert small.shape == (3, 16, 16)
    assert float((small.mean((1, 2)) - x.mean((1, 2))).abs().max()) < 0.02
    if way == "area":
        torch.testing.assert_close(small, reduced(x[None], 4)[0])
    if way == "nearest-exact":
        torch.testing.assert_close(small, x[:, 2::4, 2::4])


def test_noise_has_its_deviation_and_its_correlation() -> None:
    x = torch.zeros(3, 128, 128)
    kinds = {}
    for k in range(60):
        mix = mixing(3, generator(k))
        noise = noised(x, 0.1, mix, generator("noise", k)).flatten(1)
        torch.testing.assert_close(noise.std(1), torch.full((3,), 0.1), atol=0.003, rtol=0)
        found, expected = torch.corrcoef(noise), mix @ mix.T
        torch.testing.assert_close(found, expected, atol=0.04, rtol=0)
        name = "alike" if bool((expected > 0.99).all()) else "mixed"
        name = "independent" if torch.equal(expected, torch.eye(3)) else name
        kinds[name] = kinds.get(name, 0) + 1
    assert kinds["alike"] > 12
    assert kinds["independent"] > 12
    assert kinds["mixed"] > 4


def test_a_cameras_noise_grows_with_the_light() -> None:
    shot, read = 0.004, 0.01
    for value in (0.3, 0.6, 0.8):
        x = torch.full((1, 200, 200), 2 * value - 1)
        light = ((photographed(x, shot, read, generator(0)) + 1) / 2) ** GAMMA
        expected = math.sqrt(shot * value**GAMMA + read**2)
        assert float(light.mean()) == pytest.approx(value**GAMMA, abs=0.002)
        assert float(light.std()) == pytest.approx(expected, rel=0.03)


def test_compression_works_in_blocks_of_eight_and_by_its_quality() -> None:
    x = picture(1) + 0.2 * torch.randn(1, 64, 64, generator=generator(0))
    fine, coarse = (float((compressed(x, q) - x.clamp(-1, 1)).std()) for q in (95, 30))
    assert fine < 0.5 * coarse
    # A change within one block leaves all others as they are.
    other = x.clone()
    other[0, 9:15, 17:23] *= -1
    changed = (compressed(x, 50) != compressed(other, 50))[0]
    assert bool(changed[8:16, 16:24].any())
    changed[8:16, 16:24] = False
    assert not bool(changed.any())
    colour = compressed(picture(3), 95)
    assert float((colour - picture(3)).abs().mean()) < 0.05


def test_the_whole_is_a_function_of_the_generator_and_keeps_brightness() -> None:
    degrade, x = BSR(), picture()[None].expand(24, -1, -1, -1)
    small = degrade(x, 4, generators(0, range(24)))
    assert small.shape == (24, 3, 16, 16)
    assert float(small.abs().max()) <= 1
    # By the sample's generator alone, whatever its batch.
    assert torch.equal(degrade(x[:1], 4, generators(0, [11]))[0], small[11])
    assert not torch.equal(small[0], small[1])
    drift = (small - reduced(x, 4)).mean((1, 2, 3))
    assert float(drift.abs().mean()) < 0.02
    assert float((small - reduced(x, 4)).std()) > 0.05  # it is degraded
    with pytest.raises(InputError, match="one or three channels"):
        degrade(torch.zeros(1, 4, 8, 8), 2, generators(0, [0]))
    with pytest.raises(InputError, match="quality from 1 to 95"):
        BSR(quality=99)


def test_the_small_picture_of_training_is_the_named_degradation() -> None:
    x = picture()[None].expand(4, -1, -1, -1)
    part = LowResolutionCondition(3, 8, factor=4, level=0.0, degradation="bsr")
    value, level = part.derive(x, generators(0, range(4)))
    assert not level.any()
    # The level is drawn first, then the degradation.
    later = generators(0, range(4))
    for g in later:
        torch.rand((), generator=g, dtype=torch.float64)
    torch.testing.assert_close(value, BSR()(x, 4, later))
    # The blur by default is what it was by itself.
    plain = LowResolutionCondition(3, 8, factor=4, blur=1.2, level=0.3)
    streams = generators(0, range(4))
    drawn = torch.stack([torch.rand(2, generator=g, dtype=torch.float64) for g in streams])
    levels = (0.3 * drawn[:, 0]).float()
    expected = mixed(reduced(x, 4, 1.2 * drawn[:, 1]), levels, streams)
    value, level = plain.derive(x, generators(0, range(4)))
    assert torch.equal(level, levels)
    torch.testing.assert_close(value, expected)
    with pytest.raises(InputError, match="leave its degradation out"):
        LowResolutionCondition(3, 8, blur=1.2, degradation="bsr")
    assert degradations.names() == ["bsr", "gaussian-blur"]


def test_a_recipe_takes_it_and_its_parameters() -> None:
    data = Memory(torch.rand(4, 3, 16, 16))
    config = configure(
        "dalle2-upsampler",
        data,
        {"name": "memory"},
        [
            "conditions.low.blur=0",
            "conditions.low.degradation={name: bsr, noise: 5}",
            "network.channels=8",
            "network.groups=4",
        ],
    )
    degrade = build(config).denoiser.conditioner.parts["low"].degrade
    assert degrade == BSR(noise=5)
    with pytest.raises(InputError, match="did you mean 'bsr'"):
        configure("dalle2-upsampler", data, {"name": "memory"}, ["conditions.low.degradation=bsrr"])
