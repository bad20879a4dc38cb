"""Posterior methods are their formulas, at every noise level and without noise; DPS beyond linear
measurements.
"""

import pytest
import torch
from support.methods import (
    BUILD,
    EYE,
    OPERATORS,
    SIGMA,
    D,
    X,
    Y,
    estimate,
    matrix,
    methods,
    operators,
)
from support.priors import gaussian

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM, VPLinear
from unfog.errors import InputError
from unfog.evaluation.law import affine_law
from unfog.physics.measurement import PhaseRetrieval
from unfog.physics.operators import Identity
from unfog.posterior.ddnm import DDNM
from unfog.posterior.ddrm import DDRM, DDRMSteps
from unfog.posterior.diffpir import DiffPIR
from unfog.posterior.direct import DirectMeasurement
from unfog.posterior.dps import DPS
from unfog.posterior.mmps import MMPS
from unfog.posterior.projection import Projection
from unfog.posterior.repaint import RePaint
from unfog.posterior.tmpd import TMPD
from unfog.sampling.ancestral import DDIM, DDPM
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample


@methods
@operators
@pytest.mark.parametrize("process", [VPLinear(), EDM(10.0)], ids=["vp", "edm"])
@pytest.mark.parametrize("time", [0.02, 0.3, 0.9])
def test_a_method_is_its_formula(name, task, process, time):
    operator, (oracle, mean, covariance), t = (
        OPERATORS[task],
        gaussian(process, D),
        torch.tensor(time, dtype=torch.float64),
    )
    y = operator(Y)
    gain, constant = estimate(name, matrix(operator), y[0, 0], mean, covariance, *oracle.scales(t))
    assert torch.allclose(
        BUILD[name](oracle, operator, y)(X, t).mean[0, 0], gain @ X[0, 0] + constant, atol=1e-7
    )


@pytest.mark.parametrize("time", [1e-4, 0.003, 0.1, 1.0])
@pytest.mark.parametrize("sigma", [0.01, 0.5])
def test_the_default_step_of_dps_is_right_at_every_noise_level(time, sigma):
    """Measured directly under a white prior it is exact, and elsewhere it is one iteration of
    MMPS.
    """
    t = torch.tensor(time, dtype=torch.float64)
    for prior, operator in (
        (gaussian_denoiser(EDM(80.0), 0 * EYE[0], EYE), Identity()),
        (gaussian(EDM(80.0), D)[0], OPERATORS["blur"]),
    ):
        found = DPS(prior, operator, operator(Y), sigma)(X, t).mean
        assert torch.allclose(
            found,
            MMPS(prior, operator, operator(Y), sigma, iterations=1, tolerance=0)(X, t).mean,
            atol=1e-9,
        )
    white = gaussian_denoiser(EDM(80.0), 0 * EYE[0], EYE)
    assert torch.allclose(
        DPS(white, Identity(), Y, sigma)(X, t).mean,
        DirectMeasurement(white, Y, sigma)(X, t).mean,
        atol=1e-9,
    )


def test_without_noise_the_measurement_is_met_exactly():
    """DDNM, DiffPIR and DDRM take sigma = 0; what they return at the end fits y."""
    prior, g = gaussian(VPLinear(), D)[0], torch.Generator().manual_seed(0)
    noise = torch.randn(2, 1, D, generator=g).double()
    for operator in OPERATORS.values():
        y = operator(Y)
        for method in (DDNM, DiffPIR, DDRM):
            x = sample(
                method(prior, operator, y, 0.0),
                noise,
                grids.build("uniform")(prior.process, 10),
                DDPM(),
                randomness=g,
            )
            assert float((operator(x) - y).abs().max()) < 1e-9


@pytest.mark.slow
def test_dps_takes_measurements_that_are_not_linear():
    """From the magnitudes of its Fourier transform and a prior near it, an image is found again:
    better in the median of 32 problems.
    """
    g, n = torch.Generator().manual_seed(0), 32
    truth, error, noise = torch.randn(3, n, 2, 3, 4, generator=g, dtype=torch.float64)
    prior, h = (
        gaussian_denoiser(VPLinear(), torch.zeros(24).double(), 0.3**2 * torch.eye(24).double()),
        PhaseRetrieval(),
    )
    centre = truth + 0.3 * error

    class Centred(Denoiser):
        process = prior.process

        def forward(self, x_t, t, **condition):
            return Posterior(centre + prior(x_t - self.process.alpha(t) * centre, t).mean)

    x = sample(
        DPS(Centred(), h, h(truth), 0.01),
        noise,
        grids.build("uniform")(prior.process, 200),
        DDIM(),
        randomness=g,
    )

    def left(f):
        before, after = (f(one) - f(truth) for one in (centre, x))
        return (after.flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)).median()

    assert float(left(h)) < 0.2
    assert float(left(lambda v: v)) < 0.5


def test_bad_settings_are_refused():
    prior, op = gaussian(VPLinear(), D)[0], OPERATORS["mask"]
    cases = {
        "not below zero": lambda: DDNM(prior, op, Y, -1.0),
        "above zero": lambda: TMPD(prior, op, Y, 0.0),
        "strength": lambda: DiffPIR(prior, op, Y, 0.1, strength=0.0),
        "from 0 to 1": lambda: DDRMSteps(op, Y, 0.1, eta=2.0),
        "share of a projection": lambda: Projection(DDPM(), op, Y, 0.0),
        "at least 1 repeat": lambda: RePaint(DDPM(), op, Y, 0),
        "not affine": lambda: affine_law(
            DPS(prior, op, op(Y), SIGMA), DDPM(), grids.build("uniform")(prior.process, 3), (1, D)
        ),
    }
    for message, build in cases.items():
        with pytest.raises(InputError, match=message):
            build()
