r"""Ranks of the truth among posterior draws: whether a posterior is calibrated.

The truth and L draws given its measurement are L + 1 exchangeable values where the draws are of
the true posterior, so the rank of the truth among them is uniform on 0, ..., L.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.evaluation.estimates import Estimate, mean_estimate

EXPECTED = 5  # ranks in a bin of a chi-squared test, at least (Cochran 1954)


def ranks(truth: Tensor, draws: Tensor, randomness: torch.Generator) -> Tensor:
    """The rank of each truth among its draws (Cook et al. 2006; Talts et al. 2018).

    Args:
        truth: (n, quantities).
        draws: (n, L, quantities).
        randomness: Puts a truth that ties with draws at a random place among them.

    Returns:
        How many draws lie below, from 0 to L, (n, quantities), int64.

    Raises:
        InputError: The shapes do not fit.
    """
    if draws.ndim != 3 or truth.shape != draws[:, 0].shape:
        raise InputError(
            "Ranks need truths (n, quantities) and draws (n, L, quantities), got "
            f"{tuple(truth.shape)} and {tuple(draws.shape)}."
        )
    below, ties = ((compared(draws, truth[:, None])).sum(1) for compared in (torch.lt, torch.eq))
    place = torch.rand(ties.shape, generator=randomness, dtype=torch.float64) * (ties + 1)
    return below + place.long()


@dataclass(frozen=True)
class Uniformity:
    """A chi-squared test that ranks are uniform.

    Args:
        counts: Ranks in each bin, of equal widths to one rank.
        statistic: Chi-squared, of ``len(counts) - 1`` degrees of freedom.
        p: The probability of one as large, were the ranks uniform.
    """

    counts: tuple[int, ...]
    statistic: float
    p: float


def uniformity(rank: Tensor, draws: int) -> Uniformity:
    """The chi-squared test of ranks, in as many bins as hold ``EXPECTED`` each on average.

    Args:
        rank: Of independent truths, (n,), from 0 to ``draws``.
        draws: L.

    Returns:
        The test.

    Raises:
        InputError: There are too few ranks for two bins.
    """
    n, values = len(rank), draws + 1
    bins = min(values, n // EXPECTED)
    if bins < 2:
        raise InputError(f"{n} ranks are too few to test; give at least {2 * EXPECTED} truths.")
    # A bin may hold one rank more than another, and is expected to hold as much more.
    bin_of = torch.arange(values) * bins // values
    counts = torch.bincount(bin_of[rank], minlength=bins)
    expected = torch.bincount(bin_of, minlength=bins).double() * n / values
    statistic = ((counts - expected) ** 2 / expected).sum()
    p = torch.special.gammaincc(torch.tensor((bins - 1) / 2, dtype=torch.float64), statistic / 2)
    return Uniformity(tuple(counts.tolist()), float(statistic), float(p))


def smallest(p: Sequence[float]) -> float:
    """The smallest of several p-values, times their number (Bonferroni), 1 at most."""
    return min(1.0, min(p) * len(p))


@dataclass(frozen=True)
class Curve:
    """The share of truths inside central intervals of draws, by level.

    Args:
        levels: The share that would be inside of the true posterior, rising.
        covered: The share that is.
    """

    levels: tuple[float, ...]
    covered: tuple[Estimate, ...]

    def nearest(self, level: float) -> tuple[float, Estimate]:
        """The level nearest to one, and what it covers."""
        k = min(range(len(self.levels)), key=lambda i: abs(self.levels[i] - level))
        return self.levels[k], self.covered[k]

    @property
    def error(self) -> float:
        """The mean of |covered - level| over the levels."""
        gaps = [abs(c.value - at) for at, c in zip(self.levels, self.covered, strict=True)]
        return sum(gaps) / len(gaps)


def coverage_curve(rank: Tensor, draws: int) -> Curve:
    """Coverage of the intervals from the k-th smallest to the k-th largest of L draws, which hold
    a share 1 - 2 k / (L + 1) exactly, whatever the posterior's law.

    Args:
        rank: Of each value of the truth, (n, values).
        draws: L.

    Returns:
        The curve; values of one truth go together in its intervals.
    """
    levels, covered = [], []
    for k in range(draws // 2, 0, -1):
        inside = ((rank >= k) & (rank <= draws - k)).double().mean(1)
        levels.append(1 - 2 * k / (draws + 1))
        covered.append(mean_estimate(inside, least=0.0, most=1.0))
    return Curve(tuple(levels), tuple(covered))
