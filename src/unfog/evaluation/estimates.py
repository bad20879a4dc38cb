r"""Figures with the error that a finite sample leaves them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.random import generator

DRAWS, NORMAL = 200, 1.959963984540054  # resamplings, and the normal quantile of a 95 % interval


@dataclass(frozen=True)
class Estimate:
    """A figure and its standard error.

    Args:
        value: The figure.
        error: Its standard error over samples as large as this one; nan where it is unknown.
        least: The least value that the figure can have.
        most: The greatest.
    """

    value: float
    error: float
    least: float = -math.inf
    most: float = math.inf

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, value -+ 1.96 error, within what is possible."""
        spread = NORMAL * self.error
        return max(self.value - spread, self.least), min(self.value + spread, self.most)


def bootstrap_error(
    statistic: Callable[[Tensor], float], n: int, seed: int = 0, draws: int = DRAWS
) -> float:
    """The bootstrap's standard error of a statistic (Efron 1979).

    Args:
        statistic: Of the numbers (n,) of the samples that a resampling holds.
        n: Samples.
        seed: Of the resampling.
        draws: Resamplings.

    Returns:
        The deviation of the statistic over the resamplings.
    """
    randomness = generator(seed, "bootstrap")
    values = [statistic(torch.randint(n, (n,), generator=randomness)) for _ in range(draws)]
    return float(torch.tensor(values, dtype=torch.float64).std())


def mean_estimate(
    values: Tensor, seed: int = 0, least: float = -math.inf, most: float = math.inf
) -> Estimate:
    """The mean of values of independent samples, with the bootstrap's error.

    Args:
        values: (n,).
        seed: Of the resampling.
        least: The least value that the mean can have.
        most: The greatest.

    Returns:
        The estimate.
    """
    x = values.double()
    error = bootstrap_error(lambda rows: float(x[rows].mean()), len(x), seed)
    return Estimate(float(x.mean()), error, least, most)
