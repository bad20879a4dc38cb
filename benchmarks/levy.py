"""Posterior samplers beside exact posteriors of signals with independent increments: four priors,
four measurements.

    python benchmarks/levy.py --out benchmarks/results/levy.json

The prior's denoiser is by Gibbs sampling, and so is the posterior that the samplers are held to;
nothing is trained, so that what errs is the sampler. The setting is that of "A statistical
benchmark for diffusion posterior sampling algorithms" (ICLR 2026), at a smaller size; its figures
are not compared.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from record import write_record
from torch import Tensor

import unfog
from unfog.core.increments import BernoulliLaplace, Gaussian, Increments, Laplace, StudentT
from unfog.core.levy import Levy, LevyDenoiser
from unfog.core.process import EDM
from unfog.core.random import generator, generators
from unfog.physics.blur import Blur, gaussian_kernel
from unfog.physics.fourier import ComplexOf, Fourier
from unfog.physics.linear import Operator
from unfog.physics.operators import Identity, Mask
from unfog.posterior.methods import posterior_denoiser
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers

D, SIGMA, TRUTHS, DRAWS, STEPS = 16, 0.1, 3, 19, 10
CHAINS = 20  # of the exact posterior of each truth
PRIORS: dict[str, Increments] = {
    "Gaussian": Gaussian(1 / D),
    "Laplace": Laplace((2 * D) ** -0.5),
    "Student, 3 degrees": StudentT(3.0, (3 * D) ** -0.5),
    "Bernoulli-Laplace": BernoulliLaplace((0.4 * D) ** -0.5, 0.2),
}
LINES = torch.arange(D) % 3 == 0
LINES[D // 2 - 2 : D // 2 + 3] = True
OPERATORS: dict[str, Operator] = {
    "denoising": Identity(),
    "deconvolution": Blur(gaussian_kernel(1.0, 1)),
    "inpainting": Mask(torch.arange(D) % 6 < 3),
    "Fourier sampling": Mask(LINES) @ Fourier() @ ComplexOf(),
}
METHODS = ("auto", "pigdm", "dps", "diffpir")


def matrix(operator: Operator) -> tuple[Tensor, Tensor]:
    """A as a matrix of the values that are measured, (m, d), and which of all they are."""
    whole = operator(torch.eye(D, dtype=torch.float64)[:, None]).flatten(1).T
    there = whole.abs().sum(1) > 1e-9
    return whole[there], there


def measured(operator: Operator, x: Tensor, name: str) -> Tensor:
    """y = A x + noise, 0 where nothing is measured."""
    clean = operator(x[:, None])
    noise = torch.randn(clean.shape, generator=generator("noise", name), dtype=clean.dtype)
    there = matrix(operator)[1].view(clean.shape[1:])
    return clean + SIGMA * noise * there


def exact(prior: Levy, operator: Operator, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and deviation of each posterior, (n, d), and draws of it, (n, many, d)."""
    a, there = matrix(operator)
    values = y.flatten(1)[:, there].repeat_interleave(CHAINS, 0)
    sigma = torch.full((len(values),), SIGMA, dtype=torch.float64)
    found = prior.posterior(a, values, sigma, generator("exact"), warmup=60, sweeps=60)
    means, draws = found.mean.view(-1, CHAINS, D), found.draws[:, ::6].reshape(len(y), -1, D)
    mean = means.mean(1)
    within = found.covariance.diagonal(dim1=1, dim2=2).view(-1, CHAINS, D)
    return mean, (within + (means - mean[:, None]) ** 2).mean(1).sqrt(), draws


def drawn(prior: Levy, operator: Operator, y: Tensor, method: str) -> Tensor:
    """Draws of a method, (n, DRAWS, d)."""
    denoiser = LevyDenoiser(EDM(80.0), prior, warmup=8, sweeps=16)
    rows = torch.arange(len(y)).repeat_interleave(DRAWS)
    given = posterior_denoiser(denoiser, operator, y[rows], SIGMA, method)
    grid = grids.build({"name": "karras", "sigma_max": 10.0, "sigma_min": 0.02})(
        denoiser.process, STEPS
    )
    randomness = generators(0, range(len(rows)), method)
    noise = torch.stack([torch.randn(1, D, generator=g, dtype=torch.float64) for g in randomness])
    x = sample(given, noise, grid, samplers.build("heun"), randomness=randomness)
    return x.view(len(y), DRAWS, D)


def distance(x: Tensor, truth: tuple[Tensor, Tensor, Tensor]) -> dict[str, float]:
    """Of draws (n, DRAWS, d) from the exact posterior."""
    mean, deviation, draws = truth
    z = (x.mean(1) - mean) / deviation
    # The mean of DRAWS exact draws would err by 1 / DRAWS.
    error = max(float(z.square().mean()) - 1 / DRAWS, 0.0) ** 0.5
    ratio = x.var(1).mean(0) / deviation.square().mean(0)
    low, high = x.min(1).values, x.max(1).values
    inside = (draws >= low[:, None]) & (draws <= high[:, None])
    return {
        "error of the mean": error,
        "deviation over exact": float(ratio.mean().sqrt()),
        "exact mass in 90 %": float(inside.double().mean()),
    }


def figures() -> dict[str, Any]:
    """Per prior, measurement and method."""
    found: dict[str, Any] = {}
    for prior_name, increments in PRIORS.items():
        prior = Levy(increments, D)
        x = prior.draw(TRUTHS, generator("truth", prior_name))
        for task, operator in OPERATORS.items():
            y = measured(operator, x, task)
            truth = exact(prior, operator, y)
            row = {m: distance(drawn(prior, operator, y, m), truth) for m in METHODS}
            found.setdefault(prior_name, {})[task] = row
    return found


def main() -> None:
    """Write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=None)
    out = parser.parse_args().out
    begun = time.process_time()
    found = figures()
    setting = {"values": D, "noise": SIGMA, "truths": TRUTHS, "draws": DRAWS, "steps": STEPS}
    seconds = {"cpu seconds": round(time.process_time() - begun, 1)}
    write_record({**setting, "figures": found, **seconds}, (torch, unfog), out)


if __name__ == "__main__":
    main()
