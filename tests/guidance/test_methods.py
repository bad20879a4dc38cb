"""Posterior methods against their own laws: formulas in dense algebra, written apart, and the affine recursions that follow from them."""

from itertools import pairwise

import pytest
import torch
from priors import gaussian

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM, VPLinear
from unfog.core.random import generators, normal
from unfog.errors import InputError
from unfog.evaluation.law import affine_law
from unfog.guidance.ddnm import DDNM
from unfog.guidance.ddrm import DDRM, DDRMSteps
from unfog.guidance.diffpir import DiffPIR
from unfog.guidance.direct import DirectMeasurement
from unfog.guidance.dps import DPS
from unfog.guidance.mmps import MMPS
from unfog.guidance.pigdm import PiGDM
from unfog.guidance.projection import Projection
from unfog.guidance.repaint import RePaint
from unfog.guidance.tmpd import TMPD
from unfog.physics.blur import Blur, gaussian_kernel
from unfog.physics.measurement import PhaseRetrieval
from unfog.physics.operators import BlockAverage, Identity, Mask
from unfog.sampling.ancestral import DDIM, DDPM
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers

D, SIGMA = 6, 0.3
EYE = torch.eye(D, dtype=torch.float64)
G = torch.Generator().manual_seed(0)
OPERATORS = {
    "mask": Mask(torch.tensor([1, 0, 1, 1, 0, 0])),
    "blocks": BlockAverage(3),
    "blur": Blur(gaussian_kernel(0.6, 1)[1:-1]),
}
X, Y = (torch.randn(1, 1, D, generator=G, dtype=torch.float64) for _ in range(2))
operators = pytest.mark.parametrize("task", OPERATORS)


def matrix(operator):
    """A as a matrix (m, d)."""
    return operator(EYE[:, None])[:, 0].T


def spectrum(a):
    """Singular values and both sides, of the values above 0."""
    u, s, vt = torch.linalg.svd(a)
    kept = s > 1e-12
    return u[:, : len(s)][:, kept], s[kept], vt[: len(s)][kept]


class Dense:
    """One method's estimate of x_0 as matrices: of D and of the residual y - A D, at noise level k with V = Cov(x_0 | x_t)."""

    @staticmethod
    def dps(a, v, k):
        return v @ a.T / 0.7

    @staticmethod
    def pigdm(a, v, k):
        r = k**2 / (1 + k**2)
        return v @ a.T @ torch.linalg.inv(r * a @ a.T + SIGMA**2 * torch.eye(len(a)))

    @staticmethod
    def tmpd(a, v, k):
        return v @ a.T @ torch.diag(1 / ((a @ v @ a.T).sum(1).clamp(min=0) + SIGMA**2))

    @staticmethod
    def mmps(a, v, k):
        return v @ a.T @ torch.linalg.inv(a @ v @ a.T + SIGMA**2 * torch.eye(len(a)))

    @staticmethod
    def diffpir(a, v, k):
        return torch.linalg.solve(a.T @ a + 7 * SIGMA**2 / k**2 * EYE, a.T)

    @staticmethod
    def ddnm(a, v, k):
        u, s, vt = spectrum(a)
        return vt.T @ torch.diag((s * k / SIGMA).clamp(max=1) / s) @ u.T

    @staticmethod
    def ddrm(a, v, k):
        u, s, vt = spectrum(a)
        q = SIGMA / s
        return vt.T @ torch.diag(torch.where(q > k, (1 - 0.85**2) ** 0.5 * k / q, 1.0) / s) @ u.T


BUILD = {
    "dps": lambda prior, op, y: DPS(prior, op, y, SIGMA, variance=0.7),
    "pigdm": lambda prior, op, y: PiGDM(prior, op, y, SIGMA),
    "tmpd": lambda prior, op, y: TMPD(prior, op, y, SIGMA),
    "mmps": lambda prior, op, y: MMPS(prior, op, y, SIGMA, iterations=D, tolerance=0),
    "diffpir": lambda prior, op, y: DiffPIR(prior, op, y, SIGMA, strength=7.0),
    "ddnm": lambda prior, op, y: DDNM(prior, op, y, SIGMA),
    "ddrm": lambda prior, op, y: DDRM(prior, op, y, SIGMA),
}  # fmt: skip
methods = pytest.mark.parametrize("name", BUILD)


def estimate(name, a, y, mean, covariance, alpha, sigma):
    """x_0 as M x_t + c: (M, c)."""
    gain = alpha * covariance @ torch.linalg.inv(alpha**2 * covariance + sigma**2 * EYE)
    prior = gain, mean - alpha * gain @ mean
    if name == "prior":
        return prior
    correction = getattr(Dense, name)(a, covariance - alpha * gain @ covariance, sigma / alpha)
    return prior[0] - correction @ a @ prior[0], prior[1] + correction @ (y - a @ prior[1])


@methods
@operators
@pytest.mark.parametrize("process", [VPLinear(), EDM(10.0)], ids=["vp", "edm"])
@pytest.mark.parametrize("time", [0.02, 0.3, 0.9])
def test_a_method_is_its_formula(name, task, process, time):
    operator, (oracle, mean, covariance), t = OPERATORS[task], gaussian(process, D), torch.tensor(time, dtype=torch.float64)
    y = operator(Y)
    gain, constant = estimate(name, matrix(operator), y[0, 0], mean, covariance, *oracle.scales(t))
    assert torch.allclose(BUILD[name](oracle, operator, y)(X, t).mean[0, 0], gain @ X[0, 0] + constant, atol=1e-7)


def ddpm(estimate_at, a, y, process, times, law, impose=False, jump=False):
    """Mean and covariance at the end of DDPM steps with estimate (M, c), each followed by a projection if wanted."""
    mean, covariance = law
    for t, s in pairwise(times):
        (at, st), (as_, ss) = ((process.alpha(v), process.sigma(v)) for v in (t, s))
        fresh = st**2 - (at / as_) ** 2 * ss**2  # of x_t given x_s
        m, c = estimate_at(at, st)
        step = as_ * fresh / st**2 * m + at / as_ * ss**2 / st**2 * EYE
        mean, covariance = step @ mean + as_ * fresh / st**2 * c, step @ covariance @ step.T + ss**2 * fresh / st**2 * EYE
        if impose:
            pinv = torch.linalg.pinv(a)
            free = EYE - pinv @ a
            mean, covariance = free @ mean + as_ * pinv @ y, free @ covariance @ free.T + ss**2 * pinv @ a @ (pinv @ a).T
    return mean, covariance


def start(process, t):
    return torch.zeros(D).double(), process.sigma(t) ** 2 * EYE


@methods
@operators
def test_a_method_under_ddpm_has_its_own_affine_law(name, task):
    process, operator = EDM(10.0), OPERATORS[task]
    (oracle, mean, covariance), y = gaussian(process, D), operator(Y)
    times, a = grids.build("karras")(process, 6), matrix(operator)
    expected = ddpm(lambda *s: estimate(name, a, y[0, 0], mean, covariance, *s), a, y[0, 0], process, times, start(process, times[0]))
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
    law, down = start(process, times[0]), lambda *s: estimate("prior", a, y[0, 0], mean, covariance, *s)
    for t, s in pairwise(times):
        between = torch.linspace(float(t), float(s), jump + 1).double() if repeats else [t, s]
        for k in range(max(repeats, 1)):
            law = ddpm(down, a, y[0, 0], process, between, law, impose=True)
            if k + 1 < repeats:
                share = process.alpha(t) / process.alpha(s)
                law = share * law[0], share**2 * law[1] + (process.sigma(t) ** 2 - share**2 * process.sigma(s) ** 2) * EYE
    sampler = RePaint(DDPM(), operator, y, repeats, jump) if repeats else Projection(DDPM(), operator, y)
    found = affine_law(oracle, sampler, times, (1, D))
    assert torch.allclose(found[0], law[0], atol=1e-7)
    assert torch.allclose(found[1], law[1], atol=1e-7)


@operators
@pytest.mark.parametrize("eta_measured", [1.0, 0.6])
def test_the_steps_of_ddrm_have_their_own_affine_law(task, eta_measured):
    """The three cases of the paper, singular vector by singular vector."""
    process, operator, eta = VPLinear(), OPERATORS[task], 0.85
    (oracle, prior_mean, prior_covariance), y, a = gaussian(process, D), operator(Y)[0, 0], matrix(operator)
    times = grids.build({"name": "log-snr", "sigma_min": 0.05})(process, 6)
    u, s, _ = spectrum(a)
    every = torch.linalg.svd(a).Vh  # the first are those of s
    mean, covariance = start(process, times[0])
    for t, end in pairwise(times):
        kt, ks = process.noise_level(t), process.noise_level(end)
        m, c = estimate("prior", a, y, prior_mean, prior_covariance, *oracle.scales(t))
        gain, constant, noise = torch.zeros(D, D).double(), torch.zeros(D).double(), torch.zeros(D, D).double()
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
            gain, constant, noise = gain + torch.outer(v, row), constant + v * height, noise + deviation**2 * torch.outer(v, v)
        scale = process.alpha(end)
        mean, covariance = scale * (gain @ mean + constant), scale**2 * (gain @ covariance @ gain.T + noise)
    found = affine_law(oracle, DDRMSteps(operator, operator(Y), SIGMA, eta, eta_measured), times, (1, D))
    assert torch.allclose(found[0], mean, atol=1e-8)
    assert torch.allclose(found[1], covariance, atol=1e-8)


def prepared(name, prior, operator, y):
    """(denoiser, sampler) of any method, those that are samplers too."""
    own = {
        "projection": lambda: Projection(DDPM(), operator, y),
        "repaint": lambda: RePaint(DDPM(), operator, y, 3, 2),
        "ddrm-steps": lambda: DDRMSteps(operator, y, SIGMA),
    }
    return (prior, own[name]()) if name in own else (BUILD[name](prior, operator, y), DDPM())


EVERY = [*BUILD, "projection", "repaint", "ddrm-steps"]


@pytest.mark.parametrize("name", EVERY)
def test_drawn_samples_have_the_law(name):
    """Within the Monte-Carlo error of 4000 draws; under another sampler for the methods that leave the choice."""
    process, operator, n = EDM(10.0), OPERATORS["mask"], 4000
    (oracle, _, _), y, g = gaussian(process, D), operator(Y), torch.Generator().manual_seed(0)
    method, sampler = prepared(name, oracle, operator, y)
    sampler = DDIM(0.5) if name in BUILD else sampler
    times = grids.build("karras")(process, 6)
    x = sample(method, torch.randn(n, 1, D, generator=g).double(), times, sampler, randomness=g)[:, 0]
    mean, covariance = affine_law(method, sampler, times, (1, D))
    spread = covariance.diagonal().clamp(min=1e-12).sqrt()
    assert float(((x.mean(0) - mean) / spread).abs().max()) < 4.5 / n**0.5
    error = (x.T.cov() - covariance) / (torch.outer(spread, spread) * (2 / n) ** 0.5)
    assert float(error.abs().max()) < 4.5


class Counted(Denoiser):
    """A prior that counts its calls."""

    def __init__(self, prior):
        super().__init__()
        self.prior, self.process, self.calls = prior, prior.process, 0

    def forward(self, x_t, t, **condition):
        self.calls += 1
        return self.prior(x_t, t)


@pytest.mark.parametrize("name", [*EVERY, "dps-default"])
def test_one_network_call_a_step_and_no_dependence_on_the_batch(name):
    """RePaint: repeats times jump, as its paper says."""
    prior, operator = gaussian(VPLinear(), D)[0], OPERATORS["blocks"]
    times = grids.build("uniform")(prior.process, 5)

    def run(n):
        counted, randomness = Counted(prior), generators(0, range(n))
        y = operator(normal((n, 1, D), generators(1, range(n)), like=prior.means))
        method, sampler = (DPS(counted, operator, y, SIGMA), DDPM()) if name == "dps-default" else prepared(name, counted, operator, y)
        return sample(method, normal((n, 1, D), randomness, like=prior.means), times, sampler, randomness=randomness), counted.calls

    (many, calls), (one, _) = run(64), run(1)
    assert calls == (5 * 3 * 2 if name == "repaint" else 5)
    assert torch.allclose(many[0], one[0], atol=1e-10)


@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpmpp-2m", "unipc", "euler-maruyama"])
@methods
def test_any_sampler_brings_the_sample_to_the_measurement(name, sampler):
    prior, operator = gaussian(EDM(10.0), D)[0], OPERATORS["mask"]
    y, g = 2 + operator(Y) * 0, torch.Generator().manual_seed(0)
    y, noise = y * operator.mask, torch.randn(200, 1, D, generator=g).double()
    times = grids.build("karras")(prior.process, 10)
    x, without = (sample(m, noise, times, samplers.build(sampler), randomness=g) for m in (BUILD[name](prior, operator, y), prior))
    assert float((operator(x) - y).norm()) < 0.5 * float((operator(without) - y).norm())


@operators
@pytest.mark.parametrize(("sampler", "steps"), [({"name": "calibrated-draws", "products": D}, 5), ("heun", 40)], ids=["calibrated", "heun"])
def test_mmps_draws_the_posterior(task, sampler, steps):
    """Mean within .05 posterior deviations and covariance within .10, of the exact law of what it draws."""
    process, operator = EDM(80.0), OPERATORS[task]
    (oracle, mean, covariance), y, a = gaussian(process, D), operator(Y), matrix(operator)
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + SIGMA**2 * torch.eye(len(a)))
    truth = mean + gain @ (y[0, 0] - a @ mean), covariance - gain @ a @ covariance
    times = grids.build({"name": "karras", "sigma_min": 0.02})(process, steps)
    found = affine_law(BUILD["mmps"](oracle, operator, y), samplers.build(sampler), times, (1, D))
    assert float(((found[0] - truth[0]) / truth[1].diagonal().sqrt()).abs().max()) < 0.05
    assert float((found[1] - truth[1]).norm() / truth[1].norm()) < 0.10


def test_dps_takes_measurements_that_are_not_linear():
    """From the magnitudes of its Fourier transform and a prior near it, an image is found again: better in the median of 32 problems."""
    g, n = torch.Generator().manual_seed(0), 32
    truth, error, noise = torch.randn(3, n, 2, 3, 4, generator=g, dtype=torch.float64)
    prior, h = gaussian_denoiser(VPLinear(), torch.zeros(24).double(), 0.3**2 * torch.eye(24).double()), PhaseRetrieval()
    centre = truth + 0.3 * error

    class Centred(Denoiser):
        process = prior.process

        def forward(self, x_t, t, **condition):
            return Posterior(centre + prior(x_t - self.process.alpha(t) * centre, t).mean)

    x = sample(DPS(Centred(), h, h(truth), 0.01), noise, grids.build("uniform")(prior.process, 200), DDIM(), randomness=g)
    left = lambda f: ((f(x) - f(truth)).flatten(1).norm(dim=1) / (f(centre) - f(truth)).flatten(1).norm(dim=1)).median()  # noqa: E731
    assert float(left(h)) < 0.2
    assert float(left(lambda v: v)) < 0.5


@pytest.mark.parametrize("time", [1e-4, 0.003, 0.1, 1.0])
@pytest.mark.parametrize("sigma", [0.01, 0.5])
def test_the_default_step_of_dps_is_right_at_every_noise_level(time, sigma):
    """Measured directly under a white prior it is exact, and elsewhere it is one iteration of MMPS."""
    t = torch.tensor(time, dtype=torch.float64)
    for prior, operator in ((gaussian_denoiser(EDM(80.0), 0 * EYE[0], EYE), Identity()), (gaussian(EDM(80.0), D)[0], OPERATORS["blur"])):
        found = DPS(prior, operator, operator(Y), sigma)(X, t).mean
        assert torch.allclose(found, MMPS(prior, operator, operator(Y), sigma, iterations=1, tolerance=0)(X, t).mean, atol=1e-9)
    white = gaussian_denoiser(EDM(80.0), 0 * EYE[0], EYE)
    assert torch.allclose(DPS(white, Identity(), Y, sigma)(X, t).mean, DirectMeasurement(white, Y, sigma)(X, t).mean, atol=1e-9)


def test_bad_settings_are_refused():
    prior, op = gaussian(VPLinear(), D)[0], OPERATORS["mask"]
    cases = {
        "not below zero": lambda: DDNM(prior, op, Y, -1.0),
        "above zero": lambda: TMPD(prior, op, Y, 0.0),
        "strength": lambda: DiffPIR(prior, op, Y, 0.1, strength=0.0),
        "from 0 to 1": lambda: DDRMSteps(op, Y, 0.1, eta=2.0),
        "share of a projection": lambda: Projection(DDPM(), op, Y, 0.0),
        "at least 1 repeat": lambda: RePaint(DDPM(), op, Y, 0),
        "not affine": lambda: affine_law(DPS(prior, op, op(Y), SIGMA), DDPM(), grids.build("uniform")(prior.process, 3), (1, D)),
    }
    for message, build in cases.items():
        with pytest.raises(InputError, match=message):
            build()


def test_without_noise_the_measurement_is_met_exactly():
    """DDNM, DiffPIR and DDRM take sigma = 0; what they return at the end fits y."""
    prior, g = gaussian(VPLinear(), D)[0], torch.Generator().manual_seed(0)
    noise = torch.randn(2, 1, D, generator=g).double()
    for operator in OPERATORS.values():
        y = operator(Y)
        for method in (DDNM, DiffPIR, DDRM):
            x = sample(method(prior, operator, y, 0.0), noise, grids.build("uniform")(prior.process, 10), DDPM(), randomness=g)
            assert float((operator(x) - y).abs().max()) < 1e-9
