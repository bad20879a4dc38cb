"""Posterior methods under their samplers against the affine recursions that follow from their
formulas.
"""

from itertools import pairwise

import pytest
import torch
from support.methods import (
    BUILD,
    EYE,
    OPERATORS,
    SIGMA,
    D,
    Y,
    estimate,
    matrix,
    methods,
    operators,
    spectrum,
)
from support.priors import gaussian

from unfog.core.process import EDM, VPLinear
from unfog.evaluation.law import affine_law
from unfog.posterior.ddrm import DDRMSteps
from unfog.posterior.gdp import GDP
from unfog.posterior.projection import Projection
from unfog.posterior.repaint import RePaint
from unfog.sampling.ancestral import DDPM
from unfog.sampling.grids import grids


def ddpm(estimate_at, a, y, process, times, law, impose=False, jump=False):
    """Mean and covariance at the end of DDPM steps with estimate (M, c), each followed by a
    projection if wanted.
    """
    mean, covariance = law
    for t, s in pairwise(times):
        (at, st), (as_, ss) = ((process.alpha(v), process.sigma(v)) for v in (t, s))
        fresh = st**2 - (at / as_) ** 2 * ss**2  # of x_t given x_s
        m, c = estimate_at(at, st)
        step = as_ * fresh / st**2 * m + at / as_ * ss**2 / st**2 * EYE
        mean, covariance = (
            step @ mean + as_ * fresh / st**2 * c,
            step @ covariance @ step.T + ss**2 * fresh / st**2 * EYE,
        )
        if impose:
            pinv = torch.linalg.pinv(a)
            free = EYE - pinv @ a
            mean, covariance = (
                free @ mean + as_ * pinv @ y,
                free @ covariance @ free.T + ss**2 * pinv @ a @ (pinv @ a).T,
            )
    return mean, covariance


def start(process, t):
    return torch.zeros(D).double(), process.sigma(t) ** 2 * EYE


@methods
@operators
def test_a_method_under_ddpm_has_its_own_affine_law(name, task):
    process, operator = EDM(10.0), OPERATORS[task]
    (oracle, mean, covariance), y = gaussian(process, D), operator(Y)
    times, a = grids.build("karras")(process, 6), matrix(operator)
    expected = ddpm(
        lambda *s: estimate(name, a, y[0, 0], mean, covariance, *s),
        a,
        y[0, 0],
        process,
        times,
        start(process, times[0]),
    )
    found = affine_law(BUILD[name](oracle, operator, y), DDPM(), times, (1, D))
    assert torch.allclose(found[0], expected[0], atol=1e-6)
    assert torch.allclose(found[1], expected[1], atol=1e-6)


@pytest.mark.parametrize("repeats", [0, 1, 3])
@pytest.mark.parametrize("task", ["mask", "blocks"])
def test_projection_and_repaint_have_their_own_affine_law(task, repeats):
    """0 repeats: the projection alone."""
    process, operator = VPLinear(), OPERATORS[task]
    (oracle, mean, covariance), y, a = gaussian(process, D), operator(Y), matrix(operator)
    times, jump = grids.build("uniform")(process, 4), 2
    law, down = (
        start(process, times[0]),
        lambda *s: estimate("prior", a, y[0, 0], mean, covariance, *s),
    )
    for t, s in pairwise(times):
        between = torch.linspace(float(t), float(s), jump + 1).double() if repeats else [t, s]
        for k in range(max(repeats, 1)):
            law = ddpm(down, a, y[0, 0], process, between, law, impose=True)
            if k + 1 < repeats:
                share = process.alpha(t) / process.alpha(s)
                law = (
                    share * law[0],
                    share**2 * law[1]
                    + (process.sigma(t) ** 2 - share**2 * process.sigma(s) ** 2) * EYE,
                )
    sampler = (
        RePaint(DDPM(), operator, y, repeats, jump) if repeats else Projection(DDPM(), operator, y)
    )
    found = affine_law(oracle, sampler, times, (1, D))
    assert torch.allclose(found[0], law[0], atol=1e-7)
    assert torch.allclose(found[1], law[1], atol=1e-7)


@pytest.mark.parametrize("task", ["mask", "blocks"])
def test_gdp_has_its_own_affine_law(task):
    """Where A A* is a number its step is a share of the way to the measurement, D + share A+ (y - A
    D).
    """
    process, operator, share = EDM(10.0), OPERATORS[task], 0.7
    (oracle, mean, covariance), y, a = gaussian(process, D), operator(Y), matrix(operator)
    times, pinv = grids.build("karras")(process, 6), torch.linalg.pinv(matrix(operator))

    def guided(alpha, sigma):
        m, c = estimate("prior", a, y[0, 0], mean, covariance, alpha, sigma)
        return m - share * pinv @ a @ m, c + share * pinv @ (y[0, 0] - a @ c)

    expected = ddpm(guided, a, y[0, 0], process, times, start(process, times[0]))
    found = affine_law(GDP(oracle, operator, y, strength=share), DDPM(), times, (1, D))
    assert torch.allclose(found[0], expected[0], atol=1e-7)
    assert torch.allclose(found[1], expected[1], atol=1e-7)


@operators
@pytest.mark.parametrize("eta_measured", [1.0, 0.6])
def test_the_steps_of_ddrm_have_their_own_affine_law(task, eta_measured):
    """The three cases of the paper, singular vector by singular vector."""
    process, operator, eta = VPLinear(), OPERATORS[task], 0.85
    (oracle, prior_mean, prior_covariance), y, a = (
        gaussian(process, D),
        operator(Y)[0, 0],
        matrix(operator),
    )
    times = grids.build({"name": "log-snr", "sigma_min": 0.05})(process, 6)
    u, s, _ = spectrum(a)
    every = torch.linalg.svd(a).Vh  # the first are those of s
    mean, covariance = start(process, times[0])
    for t, end in pairwise(times):
        kt, ks = process.noise_level(t), process.noise_level(end)
        m, c = estimate("prior", a, y, prior_mean, prior_covariance, *oracle.scales(t))
        gain, constant, noise = (
            torch.zeros(D, D).double(),
            torch.zeros(D).double(),
            torch.zeros(D, D).double(),
        )
        for i, v in enumerate(every):
            row, height = v @ m, v @ c
            if i >= len(s):
                share, deviation = (1 - eta**2) ** 0.5 * ks / kt, eta * ks
                row, height = (1 - share) * row + share * v / process.alpha(t), (1 - share) * height
            else:
                own = SIGMA / s[i]
                close = own <= ks
                share = torch.tensor(eta_measured) if close else (1 - eta**2) ** 0.5 * ks / own
                deviation = (ks**2 - eta_measured**2 * own**2).sqrt() if close else eta * ks
                row, height = (1 - share) * row, (1 - share) * height + share * (u.T @ y)[i] / s[i]
            gain, constant, noise = (
                gain + torch.outer(v, row),
                constant + v * height,
                noise + deviation**2 * torch.outer(v, v),
            )
        scale = process.alpha(end)
        mean, covariance = (
            scale * (gain @ mean + constant),
            scale**2 * (gain @ covariance @ gain.T + noise),
        )
    found = affine_law(
        oracle, DDRMSteps(operator, operator(Y), SIGMA, eta, eta_measured), times, (1, D)
    )
    assert torch.allclose(found[0], mean, atol=1e-8)
    assert torch.allclose(found[1], covariance, atol=1e-8)
