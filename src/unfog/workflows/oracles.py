"""Priors whose denoiser is exact, by name, as runs: what a posterior sampler is checked with where
no error of a network can be in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from unfog.core.codec import Identity
from unfog.core.denoiser import Denoiser
from unfog.core.increments import BernoulliLaplace, Gaussian, Increments, Laplace, StudentT
from unfog.core.levy import Levy, LevyDenoiser
from unfog.core.oracle import MixtureDenoiser, gaussian_denoiser
from unfog.core.process import EDM
from unfog.core.random import generator
from unfog.core.registry import Registry
from unfog.runs.run import Run

PREFIX = "oracle:"
SIZE, MODES = 16, 4
SAMPLING = {"sampler": "heun", "steps": 50, "grid": {"name": "karras", "sigma_max": 10.0}}


@dataclass(frozen=True)
class Oracle:
    """An exact prior of signals.

    Args:
        denoiser: The exact denoiser.
        draw: (n, generator) -> exact samples, (n, values).
    """

    denoiser: Denoiser
    draw: Callable[[int, torch.Generator], Tensor]


oracles: Registry[Oracle] = Registry("oracle")


@oracles.register("gaussian")
def gaussian(size: int = SIZE) -> Oracle:
    """A Gaussian of variance 1 whose neighbours are correlated."""
    place = torch.arange(size, dtype=torch.float64)
    covariance = torch.exp(-((place[:, None] - place) ** 2) / 8)
    covariance = covariance + 0.05 * torch.eye(size, dtype=torch.float64)
    denoiser = gaussian_denoiser(EDM(80.0), torch.sin(place), covariance)
    return Oracle(denoiser, denoiser.draw)


@oracles.register("mixture")
def mixture(size: int = SIZE) -> Oracle:
    """Four Gaussians apart, of unequal weights."""
    means = 1.2 * torch.randn(MODES, size, generator=generator("oracle"), dtype=torch.float64)
    weights = torch.arange(1, MODES + 1, dtype=torch.float64)
    variances = torch.full((MODES, size), 0.1, dtype=torch.float64)
    denoiser = MixtureDenoiser(EDM(80.0), weights, means, variances)
    return Oracle(denoiser, denoiser.draw)


def levy(increments: Increments, size: int = SIZE) -> Oracle:
    """Signals with independent increments, their denoiser by Gibbs sampling."""
    prior = Levy(increments, size)
    return Oracle(LevyDenoiser(EDM(80.0), prior), prior.draw)


@oracles.register("levy-gaussian")
def brownian(size: int = SIZE) -> Oracle:
    """Brownian motion, of variance 1 at its end, as the others have."""
    return levy(Gaussian(1 / size), size)


@oracles.register("levy-laplace")
def levy_laplace(size: int = SIZE) -> Oracle:
    """Laplace's increments."""
    return levy(Laplace((2 * size) ** -0.5), size)


@oracles.register("levy-student")
def levy_student(size: int = SIZE, degrees: float = 3.0) -> Oracle:
    """Student's increments, with rare large ones."""
    return levy(StudentT(degrees, ((degrees - 2) / degrees / size) ** 0.5), size)


@oracles.register("levy-bernoulli-laplace")
def levy_jumps(size: int = SIZE, active: float = 0.2) -> Oracle:
    """Increments that are 0 but for a few: signals constant in pieces."""
    return levy(BernoulliLaplace((2 * active * size) ** -0.5, active), size)


def is_oracle(source: Path | str) -> bool:
    """Whether a source names an oracle."""
    return str(source).startswith(PREFIX)


def oracle_run(source: Path | str) -> tuple[Run, Oracle]:
    """The oracle of a name such as "oracle:gaussian", as a run of signals; ``InputError`` where
    there is none of that name.
    """
    oracle = oracles.build(str(source).removeprefix(PREFIX))
    config: dict[str, Any] = {"system": str(source), "sampling": dict(SAMPLING)}
    size = oracle.draw(1, generator("size")).shape[1]
    # A run's denoiser is a network's; nothing here asks for the network.
    denoiser = cast(Any, oracle.denoiser)
    return Run(Path(source), config, denoiser, Identity(), (1, size), {}), oracle
