"""The rescaled signal and zero terminal SNR: closed forms, and what a table without the latter does
to dark clips.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unfog.core.oracle import gaussian_denoiser
from unfog.core.prediction import predictions
from unfog.core.process import processes
from unfog.errors import InputError
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers
from unfog.video.dynamicrafter.rescaled import RescaledV

KNOTS = torch.arange(1, 1001, dtype=torch.float64) / 1000


@pytest.mark.parametrize("base", [0.7, 0.3])
def test_signal_and_noise_at_every_knot(base: float) -> None:
    """The authors' tables: Lin et al.'s algorithm 1, times their list of scales."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    root = torch.cumprod(1 - betas, 0).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    line = torch.linspace(1, base, 400, dtype=torch.float64)
    scales = torch.cat([line, torch.full((600,), base, dtype=torch.float64)])
    process = processes.build({"name": "rescaled-signal", "base": base})
    assert torch.allclose(process.alpha(KNOTS), scales * root, rtol=0, atol=1e-12)
    assert torch.allclose(process.sigma(KNOTS), (1 - root**2).sqrt(), rtol=0, atol=1e-12)
    assert float(process.alpha(torch.zeros((), dtype=torch.float64))) == 1


def test_times_are_found_from_their_noise_and_the_slopes_are_right() -> None:
    process, t = processes.build("rescaled-signal"), KNOTS[4:990:7] + 1e-4
    assert torch.allclose(process.t_of(process.log_snr(t)), t, rtol=0, atol=1e-12)
    step = 1e-7
    slope = (process.alpha(t + step).log() - process.alpha(t - step).log()) / (2 * step)
    assert torch.allclose(process.drift(t), slope, rtol=1e-4)
    assert bool((process.diffusion(t) > 0).all())


@pytest.mark.parametrize("base", [1.0, 0.7, 0.3])
def test_v_is_of_the_rescaled_data(base: float) -> None:
    process = processes.build({"name": "rescaled-signal", "base": base})
    alpha, sigma, scale = process.alpha(KNOTS), process.sigma(KNOTS), process.scale(KNOTS)  # type: ignore[attr-defined]
    x0, noise = torch.randn(2, 1000, 3, dtype=torch.float64).unbind()
    x_t = alpha[:, None] * x0 + sigma[:, None] * noise
    root = processes.build("zero-snr").alpha(KNOTS)[:, None]
    v = root * noise - sigma[:, None] * scale[:, None] * x0
    prediction = predictions.build({"name": "rescaled-v", "base": base})
    assert torch.allclose(prediction.to_x0(v, x_t, alpha, sigma), x0, atol=1e-9)
    assert torch.allclose(prediction.from_x0(x0, x_t, alpha, sigma), v, atol=1e-9)
    if base == 1:
        plain = predictions.build("v").rule(alpha, sigma)
        for ours, theirs in zip(prediction.rule(alpha, sigma), plain, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-9)


def test_bases_beyond_one_are_refused() -> None:
    for base in (0.0, 1.5):
        with pytest.raises(InputError, match="above 0 and at most 1"):
            processes.build({"name": "rescaled-signal", "base": base})
    assert RescaledV().base == 0.7


def brightness(process: str) -> Tensor:
    """Mean brightness that DDIM draws with the exact denoiser of clips N(m, s^2 1 1^T + .01 I),
    which is affine, so that it is that of the draw from zero.
    """
    numbers, m, s = 64, -0.8, 0.8
    cover = s**2 * torch.ones(numbers, numbers) + 0.01 * torch.eye(numbers)
    mean = torch.full((numbers,), m, dtype=torch.float64)
    forward = processes.build(process)
    return sample(
        gaussian_denoiser(forward, mean, cover.double()),
        torch.zeros(1, numbers, dtype=torch.float64),
        grids.build("trailing")(forward, 250),
        samplers.build("ddim"),
        randomness=torch.Generator(),
    ).mean()


def test_without_zero_terminal_snr_dark_clips_come_out_grey() -> None:
    """The end of Stable Diffusion's table still shows a clip's brightness, and sampling starts from
    noise that shows none: the mean is off by alpha m s sqrt(n) / sqrt(alpha^2 s^2 n + sigma^2).
    """
    with_signal, without = brightness("ddpm-scaled-linear"), brightness("zero-snr")
    assert float(without) == pytest.approx(-0.8, abs=0.002)
    alpha = float(processes.build("ddpm-scaled-linear").alpha(torch.ones((), dtype=torch.float64)))
    spread = alpha**2 * (0.64 * 64 + 0.01)
    share = math.sqrt(spread / (spread + 1 - alpha**2))
    assert float(with_signal) == pytest.approx(-0.8 * (1 - share), abs=0.01)
    assert share > 0.3


@pytest.mark.parametrize("base", [0.7, 0.3])
def test_sampling_the_rescaled_signal_ends_at_the_data(base: float) -> None:
    process = processes.build({"name": "rescaled-signal", "base": base})
    mean = torch.full((3,), -0.8, dtype=torch.float64)
    end = sample(
        gaussian_denoiser(process, mean, 0.01 * torch.eye(3).double()),
        torch.zeros(1, 3, dtype=torch.float64),
        grids.build("trailing")(process, 100),
        samplers.build("ddim"),
        randomness=torch.Generator(),
    )
    assert torch.allclose(end, mean, atol=1e-3)
