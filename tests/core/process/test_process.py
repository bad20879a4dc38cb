"""Processes: inverses, limits, and the discrete tables at their knots."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.priors import PROCESSES

from unfog.core.process import (
    Tabulated,
    VariancePreserving,
    VPCosine,
    VPLinear,
    ddpm_cosine,
    ddpm_linear,
    processes,
)
from unfog.errors import InputError

ids = [type(p).__name__ for p in PROCESSES]


@pytest.mark.parametrize("process", PROCESSES, ids=ids)
@settings(max_examples=20, deadline=None)
@given(t=st.floats(1e-6, 1.0))
def test_time_and_log_snr_are_inverses(process, t):
    time = torch.tensor(t, dtype=torch.float64)
    assert abs(float(process.t_of(process.log_snr(time))) - t) < 1e-10


@pytest.mark.parametrize("process", PROCESSES, ids=ids)
def test_log_snr_decreases_strictly_and_matches_its_definition(process):
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)[1:]
    log_snr = process.log_snr(t)
    assert bool((log_snr[1:] < log_snr[:-1]).all())
    direct = 2 * (process.alpha(t).log() - process.sigma(t).log())
    assert torch.allclose(log_snr, direct, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("process", PROCESSES, ids=ids)
def test_time_zero_is_clean(process):
    zero = torch.zeros((), dtype=torch.float64)
    assert float(process.alpha(zero)) == pytest.approx(1.0, abs=1e-15)
    assert float(process.sigma(zero)) == 0.0


@pytest.mark.parametrize(
    "process", [p for p in PROCESSES if isinstance(p, VariancePreserving)], ids=str
)
def test_variance_is_preserved(process):
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert torch.allclose(
        process.alpha(t) ** 2 + process.sigma(t) ** 2, torch.ones_like(t), atol=1e-14
    )


def test_integral_of_linear_beta():
    t = torch.tensor(0.37, dtype=torch.float64)
    grid = torch.linspace(0, 0.37, 200_001, dtype=torch.float64)
    beta = 0.1 + grid * (20 - 0.1)
    assert float(VPLinear().integrated_beta(t)) == pytest.approx(
        float(torch.trapezoid(beta, grid)), rel=1e-9
    )


def test_cosine_matches_its_formula():
    t, s = 0.4, 0.008
    expected = math.cos(math.pi / 2 * (t + s) / (1 + s)) / math.cos(math.pi / 2 * s / (1 + s))
    # the stop at alpha_min moves the end of the clock by less than 1e-4
    assert float(VPCosine().alpha(torch.tensor(t, dtype=torch.float64))) == pytest.approx(
        expected, abs=1e-4
    )


@pytest.mark.parametrize("table", [ddpm_linear(), ddpm_cosine()])
def test_table_is_exact_at_its_knots(table):
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    if table == ddpm_cosine():
        u = torch.arange(1001, dtype=torch.float64) / 1000
        abar = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = (1 - abar[1:] / abar[:-1]).clamp(max=0.999)
    abar = torch.cumprod(1 - betas, 0)
    knots = torch.arange(1, 1001, dtype=torch.float64) / 1000
    assert torch.allclose(table.alpha(knots) ** 2, abar, rtol=1e-11, atol=0)


def test_table_refuses_what_is_no_table():
    for betas in ([0.1, 1.5], [0.1, -0.1], [0.1, float("nan")], [[0.1]]):
        with pytest.raises(InputError, match="strictly between"):
            Tabulated.from_betas(betas)
    for alphas in ([0.9, 0.95], [0.9, 0.9], [1.0, 0.5], [0.5, 0.0], [0.9, float("nan")], []):
        with pytest.raises(InputError, match="decrease strictly"):
            Tabulated.from_alphas_cumprod(alphas)


@pytest.mark.parametrize("name", ["vp-linear", "vp-scaled-linear", "sub-vp"])
def test_a_schedule_whose_noise_would_not_grow_is_refused(name):
    for rates in ({"beta_min": -0.1}, {"beta_max": 0.0}, {"beta_max": float("nan")}):
        with pytest.raises(InputError, match=r"must grow|must be from|must be above"):
            processes.build({"name": name, **rates})
    with pytest.raises(InputError, match=r"must grow|must be from|must be above"):
        processes.build({"name": "edm", "sigma_max": 0.0})


def test_unknown_process_and_key_are_one_sentence():
    with pytest.raises(InputError, match="did you mean 'vp-linear'"):
        processes.build("vp-linaer")
    with pytest.raises(InputError, match="did you mean 'beta_max'"):
        processes.build({"name": "vp-linear", "beta_mx": 3})
