"""Posterior methods to test, and their formulas in dense algebra, written apart."""

import pytest
import torch

from unfog.physics.blur import Blur, gaussian_kernel
from unfog.physics.operators import BlockAverage, Mask
from unfog.posterior.ddnm import DDNM
from unfog.posterior.ddrm import DDRM, DDRMSteps
from unfog.posterior.diffpir import DiffPIR
from unfog.posterior.dps import DPS
from unfog.posterior.mmps import MMPS
from unfog.posterior.pigdm import PiGDM
from unfog.posterior.projection import Projection
from unfog.posterior.reconstruction import ReconstructionGuidance
from unfog.posterior.repaint import RePaint
from unfog.posterior.tmpd import TMPD
from unfog.sampling.ancestral import DDPM

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
    """One method's estimate of x_0 as matrices: of D and of the residual y - A D, at noise level k
    with V = Cov(x_0 | x_t).
    """

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

    @staticmethod
    def reconstruction(a, v, k):
        pull, back = 2 / k**2 * v @ a.T, torch.linalg.pinv(a)
        return pull + back - back @ a @ pull


BUILD = {
    "dps": lambda prior, op, y: DPS(prior, op, y, SIGMA, variance=0.7),
    "pigdm": lambda prior, op, y: PiGDM(prior, op, y, SIGMA),
    "tmpd": lambda prior, op, y: TMPD(prior, op, y, SIGMA),
    "mmps": lambda prior, op, y: MMPS(prior, op, y, SIGMA, iterations=D, tolerance=0),
    "diffpir": lambda prior, op, y: DiffPIR(prior, op, y, SIGMA, strength=7.0),
    "ddnm": lambda prior, op, y: DDNM(prior, op, y, SIGMA),
    "ddrm": lambda prior, op, y: DDRM(prior, op, y, SIGMA),
    "reconstruction": lambda prior, op, y: ReconstructionGuidance(prior, op, y, SIGMA),
}
methods = pytest.mark.parametrize("name", BUILD)


def estimate(name, a, y, mean, covariance, alpha, sigma):
    """x_0 as M x_t + c: (M, c)."""
    gain = alpha * covariance @ torch.linalg.inv(alpha**2 * covariance + sigma**2 * EYE)
    prior = gain, mean - alpha * gain @ mean
    if name == "prior":
        return prior
    correction = getattr(Dense, name)(a, covariance - alpha * gain @ covariance, sigma / alpha)
    return prior[0] - correction @ a @ prior[0], prior[1] + correction @ (y - a @ prior[1])


def prepared(name, prior, operator, y):
    """(denoiser, sampler) of any method, those that are samplers too."""
    own = {
        "projection": lambda: Projection(DDPM(), operator, y),
        "repaint": lambda: RePaint(DDPM(), operator, y, 3, 2),
        "ddrm-steps": lambda: DDRMSteps(operator, y, SIGMA),
    }
    return (prior, own[name]()) if name in own else (BUILD[name](prior, operator, y), DDPM())


EVERY = [*BUILD, "projection", "repaint", "ddrm-steps"]
