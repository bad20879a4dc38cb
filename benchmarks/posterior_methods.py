"""How far each posterior method's draws lie from the true posterior: a Gaussian prior, three linear
measurements, 20 and 100 steps.

    python benchmarks/posterior_methods.py --out benchmarks/results/posterior_methods.json --page
    docs/posterior-methods.md

Every method but the particle filter is affine here, so the law of what it returns is exact
(``unfog.evaluation.law``); the filter's is that of 8192 particles. GDP's step of steepest descent
is a number only where A A* is one: under the blur its law is that of 8192 draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from record import write_record
from torch import Tensor

import unfog
from unfog.core.denoiser import Denoiser
from unfog.core.oracle import MixtureDenoiser, gaussian_denoiser
from unfog.core.process import EDM
from unfog.evaluation.law import affine_law
from unfog.physics.blur import Blur, gaussian_kernel
from unfog.physics.linear import Operator
from unfog.physics.operators import BlockAverage, Mask
from unfog.physics.spectral import Tight
from unfog.posterior.ddnm import DDNM
from unfog.posterior.ddrm import DDRM, DDRMSteps
from unfog.posterior.diffpir import DiffPIR
from unfog.posterior.dps import DPS
from unfog.posterior.gdp import GDP
from unfog.posterior.mmps import MMPS
from unfog.posterior.particles import ParticleFilter, calibrated
from unfog.posterior.pigdm import PiGDM
from unfog.posterior.projection import Projection
from unfog.posterior.repaint import RePaint
from unfog.posterior.tmpd import TMPD
from unfog.sampling.ancestral import DDPM
from unfog.sampling.grids import grids
from unfog.sampling.loop import Sampler, sample
from unfog.sampling.ode import Heun

D, SIGMA, DRAWS = 16, 0.3, 8192
OPERATORS: dict[str, Operator] = {
    "half the values": Mask(torch.arange(D) % 4 < 2),
    "means of 4": BlockAverage(4),
    "blur": Blur(gaussian_kernel(1.0, 1)),
}
Law = tuple[Tensor, Tensor]
METHODS: dict[str, Callable[[Denoiser, Operator, Tensor], tuple[Denoiser, Sampler]]] = {
    "MMPS, Heun": lambda prior, op, y: (MMPS(prior, op, y, SIGMA, D, 0), Heun()),
    "MMPS": lambda prior, op, y: (MMPS(prior, op, y, SIGMA, D, 0), DDPM()),
    "PiGDM": lambda prior, op, y: (PiGDM(prior, op, y, SIGMA), DDPM()),
    "TMPD": lambda prior, op, y: (TMPD(prior, op, y, SIGMA), DDPM()),
    "DPS, s^2 = 1": lambda prior, op, y: (DPS(prior, op, y, SIGMA, variance=1.0), DDPM()),
    "DiffPIR": lambda prior, op, y: (DiffPIR(prior, op, y, SIGMA), DDPM()),
    "DDNM+": lambda prior, op, y: (DDNM(prior, op, y, SIGMA), DDPM()),
    "DDRM as a denoiser": lambda prior, op, y: (DDRM(prior, op, y, SIGMA), DDPM()),
    "DDRM": lambda prior, op, y: (prior, DDRMSteps(op, y, SIGMA)),
    "GDP": lambda prior, op, y: (GDP(prior, op, y), DDPM()),
    "projection": lambda prior, op, y: (prior, Projection(DDPM(), op, y)),
    "RePaint, 4 repeats": lambda prior, op, y: (prior, RePaint(DDPM(), op, y, 4)),
}
HEAD = f"""# Posterior methods and the true posterior

Made by `python benchmarks/posterior_methods.py`
([results](../benchmarks/results/posterior_methods.json)). Prior: a correlated Gaussian in {D}
dimensions, its denoiser exact. Measurement: y = A x + {SIGMA} noise. Each cell is **the error of
the mean** (root mean square, in posterior standard deviations) **/ the error of the covariance**
(relative, Frobenius) of what the method draws: 0 / 0 is the truth.

Every method but the particle filter is affine here and its law exact; the filter's is that of
{DRAWS} particles, with their scatter, as is GDP's under the blur, where its step of steepest
descent depends on the gradient. The sampler is DDPM on a Karras grid from 80 to 0.02, unless the
method brings its own. MMPS is exact for a Gaussian, so its rows show what the sampler alone leaves:
DDPM too little spread at few steps, Heun next to nothing. Projection, RePaint and GDP are made for
measurements without noise, and take the noise of this one for signal: worst where the
pseudo-inverse magnifies it, as of a blur, which GDP does without. Their pseudo-inverse is exact, as
is the spectrum that DDNM+ and DDRM use. RePaint makes 4 network calls a step, Heun 2, the others 1.

A method's distance here is no rank: on other priors, noise levels and tunings the order changes.

"""


def prior() -> tuple[MixtureDenoiser, Tensor, Tensor]:
    """A Gaussian whose neighbours are correlated, with a variance of 1 and a mean that is not 0."""
    place = torch.arange(D, dtype=torch.float64)
    covariance = torch.exp(-((place[:, None] - place[None]) ** 2) / 8) + 0.05 * torch.eye(
        D, dtype=torch.float64
    )
    mean = torch.sin(place)
    return gaussian_denoiser(EDM(80.0), mean, covariance), mean, covariance


def truth(operator: Operator, y: Tensor, mean: Tensor, covariance: Tensor) -> Law:
    """The posterior, by dense algebra."""
    a = operator(torch.eye(D, dtype=torch.float64)[:, None])[:, 0].T
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + SIGMA**2 * torch.eye(len(a)))
    return mean + gain @ (y[0, 0] - a @ mean), covariance - gain @ a @ covariance


def drawn(denoiser: Denoiser, sampler: Sampler, grid: Tensor) -> Law:
    """The law of a result by drawing it."""
    g = torch.Generator().manual_seed(0)
    x = sample(
        denoiser,
        torch.randn(DRAWS, 1, D, generator=g, dtype=torch.float64),
        grid,
        sampler,
        randomness=g,
    )[:, 0]
    return x.mean(0), x.T.cov()


def law(denoiser: Denoiser, sampler: Sampler, grid: Tensor) -> Law:
    """Exact where the method is affine."""
    affine = not isinstance(denoiser, GDP) or isinstance(denoiser.operator, Tight)
    return affine_law(denoiser, sampler, grid, (1, D)) if affine else drawn(denoiser, sampler, grid)


def distance(law: Law, exact: Law) -> tuple[float, float]:
    """Of the means, in posterior deviations, and of the covariances, relative."""
    z = (law[0] - exact[0]) / exact[1].diagonal().sqrt()
    return float(z.square().mean().sqrt()), float((law[1] - exact[1]).norm() / exact[1].norm())


def figures() -> dict[str, Any]:
    """Per measurement, number of steps and method: the two distances."""
    results: dict[str, Any] = {}
    (denoiser, mean, covariance), g = prior(), torch.Generator().manual_seed(0)
    for name, operator in OPERATORS.items():
        x = denoiser.draw(1, g)[:, None]
        y = operator(x)
        noise = SIGMA * torch.randn(y.shape, generator=g, dtype=torch.float64)
        y = y + (
            operator(noise) if isinstance(operator, Mask) else noise
        )  # a mask's y is zero where nothing is measured
        exact = truth(operator, y, mean, covariance)
        for steps in (20, 100):
            grid = grids.build({"name": "karras", "sigma_min": 0.02})(denoiser.process, steps)
            found = {
                method: distance(law(*build(denoiser, operator, y), grid), exact)
                for method, build in METHODS.items()
            }
            particles = ParticleFilter(
                operator, y.expand(DRAWS, 1, -1), SIGMA, DRAWS, calibrated(4)
            )
            found["particle filter"] = distance(drawn(denoiser, particles, grid), exact)
            results.setdefault(name, {})[str(steps)] = found
    return results


def page(results: dict[str, Any]) -> str:
    """The table."""
    columns = [(name, steps) for name in results for steps in results[name]]
    rows = [
        "| method | " + " | ".join(f"{name}, {steps} steps" for name, steps in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for method in ["particle filter", *METHODS]:
        cells = ("{:.3f} / {:.3f}".format(*results[name][steps][method]) for name, steps in columns)
        rows.append(f"| {method} | " + " | ".join(cells) + " |")
    return HEAD + "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    results = figures()
    if options.page is not None:
        options.page.write_text(page(results))
    write_record(
        {
            "prior": f"a Gaussian in {D} dimensions",
            "sigma": SIGMA,
            "particles": DRAWS,
            "results": results,
        },
        (unfog, torch),
        options.out,
    )


if __name__ == "__main__":
    main()
