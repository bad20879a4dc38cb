r"""Whether a posterior sampler draws from the posterior: all that is said of its draws, given
truths from the prior.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.errors import InputError
from unfog.evaluation.conformal import LEVEL
from unfog.evaluation.estimates import Estimate, mean_estimate
from unfog.evaluation.ranks import Curve, Uniformity, coverage_curve, ranks, smallest, uniformity
from unfog.evaluation.stein import Discrepancy, Score, discrepancy
from unfog.physics.linear import Operator

LEAST = 20  # truths
DIRECTIONS, BATCH = 4, 256
FALSE_ALARM = 0.05


@dataclass(frozen=True)
class Drawn:
    """Truths, their measurements y = A x + noise, and draws given each, on the model's scale.

    Args:
        truth: x, (n, channels, *space).
        draws: (n, L, channels, *space).
        operator: A.
        y: (n, channels', *space').
    """

    truth: Tensor
    draws: Tensor
    operator: Operator
    y: Tensor


@dataclass(frozen=True)
class Calibration:
    """What is said of a posterior sampler.

    Args:
        n: Truths.
        draws: Of each.
        tests: That the ranks of a quantity are uniform, by the quantity's name.
        curve: Coverage of the truth's values.
        stein: The kernel Stein discrepancy; None where the prior gives no score.
        error: Root mean square of truth minus the draws' mean, over the mean variance of draws
            and of their mean, (L + 1) / L; 1 where both agree.
    """

    n: int
    draws: int
    tests: Mapping[str, Uniformity]
    curve: Curve
    stein: Discrepancy | None
    error: Estimate

    @property
    def p(self) -> float:
        """The smallest p-value of the tests of ranks, corrected for their number."""
        return smallest([test.p for test in self.tests.values()])

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        at, covered = self.curve.nearest(LEVEL)
        said: dict[str, Any] = {
            "truths": self.n,
            "draws": self.draws,
            "ranks uniform": self.p >= FALSE_ALARM,
            "p": self.p,
            "coverage": {"level": at, **_plain(covered)},
            "coverage error": self.curve.error,
            "error over spread": _plain(self.error),
        }
        if self.stein is not None:
            said["score-KSD"] = {
                **_plain(self.stein.draws),
                "floor": self.stein.truths.value,
                "floor interval": list(self.stein.truths.interval),
            }
        said["rank tests"] = {
            name: {"p": test.p, "chi squared": test.statistic, "counts": list(test.counts)}
            for name, test in self.tests.items()
        }
        said["coverage curve"] = [
            {"level": at, **_plain(found)}
            for at, found in zip(self.curve.levels, self.curve.covered, strict=True)
        ]
        return said


def calibration(
    drawn: Drawn, score: Score | None = None, level: float = 0.0, seed: int = 0
) -> Calibration:
    """Ranks, coverage and Stein's discrepancy of posterior draws.

    Args:
        drawn: Truths from the prior and draws.
        score: Of the posteriors (``posterior_score``).
        level: The deviation of the noise that is added to draws before ``score`` sees them.
        seed: Of directions, ties and that noise.

    Returns:
        The figures.

    Raises:
        InputError: There are fewer than ``LEAST`` truths, or a draw is not finite.
    """
    n, count = drawn.draws.shape[:2]
    if n < LEAST:
        raise InputError(f"{n} truths are too few to judge a posterior by; give {LEAST} or more.")
    if not bool(drawn.draws.isfinite().all()):
        raise InputError(
            "The method draws values that are not finite; give it more steps or another sampler."
        )
    randomness = generator(seed, "ranks")
    truth, draws = drawn.truth.flatten(1).double(), drawn.draws.flatten(2).double()
    # One rank of each quantity a truth; independent, so that they can be tested.
    named = _quantities(drawn, randomness)
    found = ranks(named[:, 0], named[:, 1:], randomness)
    tests = {
        name: uniformity(rank, count) for name, rank in zip(NAMES, found.unbind(1), strict=True)
    }
    curve = coverage_curve(ranks(truth, draws, randomness), count)
    stein = None if score is None else _stein(drawn, score, level, generator(seed, "stein"))
    return Calibration(n, count, tests, curve, stein, _error(truth, draws))


NAMES = (
    "mean",
    "sum of squares",
    "misfit",
    "a value at random",
    *(f"direction {k + 1}" for k in range(DIRECTIONS)),
)


def _quantities(drawn: Drawn, randomness: torch.Generator) -> Tensor:
    """Numbers of each truth and, after it, of its draws, (n, 1 + L, quantities): the misfit |y - A
    x|^2, which sees draws that do not heed the data (Modrak et al. 2023), and some of x alone.
    """
    together = torch.cat([drawn.truth[:, None], drawn.draws], 1)
    x = together.flatten(2).double()
    d = x.shape[2]
    misfit = torch.stack(
        [
            (drawn.y - drawn.operator(part)).abs().double().square().flatten(1).sum(1)
            for part in together.unbind(1)
        ],
        1,
    )
    place = torch.randint(d, (len(x), 1, 1), generator=randomness).expand(-1, x.shape[1], -1)
    u = torch.randn(d, DIRECTIONS, generator=randomness, dtype=torch.float64) / d**0.5
    own = [x.mean(2), x.square().sum(2), misfit, x.gather(2, place)[..., 0]]
    return torch.cat([torch.stack(own, 2), x @ u], 2)


def _stein(drawn: Drawn, score: Score, level: float, randomness: torch.Generator) -> Discrepancy:
    """Stein's discrepancy of draws and truths, with noise of ``level`` added to both."""
    n, count = drawn.draws.shape[:2]
    together = torch.cat([drawn.truth[:, None], drawn.draws], 1).flatten(0, 1)
    noise = torch.randn(together.shape, generator=randomness, dtype=together.dtype)
    x = together + level * noise
    rows = torch.arange(n).repeat_interleave(1 + count)
    parts = zip(torch.split(x, BATCH), torch.split(rows, BATCH), strict=True)
    scores = torch.cat([score(part, of) for part, of in parts])
    x, scores = (v.flatten(1).view(n, 1 + count, -1) for v in (x, scores))
    return discrepancy(x[:, 1:], scores[:, 1:], x[:, 0], scores[:, 0])


def _error(truth: Tensor, draws: Tensor) -> Estimate:
    """The mean's error over the spread that draws state, with the error of that ratio."""
    count = draws.shape[1]
    squared = (truth - draws.mean(1)).square().mean(1)
    stated = draws.var(1).mean(1) * (1 + 1 / count)
    expected = stated.mean().clamp(min=1e-30)
    ratio = float((squared.mean() / expected).sqrt())
    spread = mean_estimate((squared - ratio**2 * stated) / expected).error
    return Estimate(ratio, spread / (2 * max(ratio, 1e-12)), 0.0)


def _plain(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "interval": list(estimate.interval)}
