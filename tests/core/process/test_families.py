"""Drift and diffusion of every process, the three families beyond variance preserving, and zero
terminal SNR, in closed form.
"""

import math

import pytest
import torch
from support.priors import PROCESSES

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import labels
from unfog.core.prediction import predictions
from unfog.core.process import (
    EDM,
    RectifiedFlow,
    SubVariancePreserving,
    VarianceExploding,
    VPLinear,
    ddpm_linear,
    ddpm_scaled_linear,
    processes,
)
from unfog.core.process.zero_snr import zero_snr
from unfog.errors import InputError

T = torch.tensor([0.0507, 0.31234, 0.5, 0.77777, 0.95], dtype=torch.float64)
INSIDE = T - 3e-4  # off the knots of a table, where beta jumps


@pytest.mark.parametrize(
    "process", [*PROCESSES, zero_snr("ddpm-linear")], ids=lambda p: type(p).__name__
)
def test_drift_and_diffusion_are_finite_differences(process):
    step = 1e-5
    ahead, behind = INSIDE + step, INSIDE - step
    drift = (process.alpha(ahead).log() - process.alpha(behind).log()) / (2 * step)
    growth = (process.sigma(ahead) ** 2 - process.sigma(behind) ** 2) / (2 * step)
    assert torch.allclose(process.drift(INSIDE), drift, rtol=1e-6, atol=1e-9)
    assert torch.allclose(
        process.diffusion(INSIDE),
        growth - 2 * drift * process.sigma(INSIDE) ** 2,
        rtol=1e-6,
        atol=1e-9,
    )


def test_drift_and_diffusion_are_those_of_the_papers():
    beta = 0.1 + T * 19.9
    b = T * (0.1 + 0.5 * T * 19.9)
    growth = 2 * math.log(50 / 0.01)
    expected = {
        VPLinear(): (-beta / 2, beta),
        SubVariancePreserving(): (-beta / 2, beta * (1 - torch.exp(-2 * b))),
        VarianceExploding(): (
            0 * T,
            0.01**2 * torch.exp(growth * T) * growth,
        ),  # Song et al.: sigma(t) sqrt(2 log(sigma_max / sigma_min))
        EDM(): (0 * T, 2 * 80**2 * T),
        RectifiedFlow(): (-1 / (1 - T), 2 * T / (1 - T)),
    }
    for process, (drift, diffusion) in expected.items():
        assert torch.allclose(process.drift(T), drift, rtol=1e-12)
        assert torch.allclose(process.diffusion(T), diffusion, rtol=1e-12)


def test_beta_of_a_table_is_the_table_at_its_knots():
    knots = torch.arange(1, 1001, dtype=torch.float64) / 1000
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    assert torch.allclose(ddpm_linear().beta(knots) / 1000, -torch.log1p(-betas), rtol=1e-9)


def test_sub_vp_has_the_variance_of_vp_as_its_deviation():
    assert torch.allclose(SubVariancePreserving().sigma(T), VPLinear().sigma(T) ** 2, rtol=1e-14)


def test_zero_terminal_snr_is_lins_algorithm():
    table = ddpm_scaled_linear()
    process, knots = (
        zero_snr("ddpm-scaled-linear"),
        torch.arange(1, 1001, dtype=torch.float64) / 1000,
    )
    root = table.alpha(knots)
    expected = (root - root[-1]) * root[0] / (root[0] - root[-1])
    assert torch.allclose(process.alpha(knots), expected, atol=1e-14)
    assert float(process.alpha(knots[-1])) == 0
    assert float(process.sigma(knots[-1])) == 1
    assert float(process.sigma(torch.zeros(()).double())) == 0
    t = torch.linspace(1e-4, 1, 501, dtype=torch.float64)
    assert torch.allclose(process.t_of(process.log_snr(t)), t, atol=1e-10)


@pytest.mark.parametrize("process", [RectifiedFlow(), zero_snr()], ids=["flow", "zero-snr"])
def test_noise_and_score_prediction_are_refused_where_there_is_no_signal(process):
    for name in predictions.names():
        parts = (torch.nn.Identity(), process, predictions.build(name), labels.build("time"))
        if name in ("noise", "score"):
            with pytest.raises(InputError, match="alpha = 0"):
                NetworkDenoiser(*parts)
        else:
            assert NetworkDenoiser(*parts).process is process


def test_families_have_names():
    assert {"ve", "sub-vp", "flow", "zero-snr"} <= set(processes.names())
    with pytest.raises(InputError, match="for a table"):
        processes.build({"name": "zero-snr", "table": "edm"})
    with pytest.raises(InputError, match="sigma_min < sigma_max"):
        processes.build({"name": "ve", "sigma_min": 60.0})
