r"""Whether samples are copies of training data: nearest neighbours, and who was trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.evaluation.estimates import Estimate

NEIGHBOURS = 20  # beyond the nearest, whose mean distance is what is usual here
SHIFT, ROWS = 1, 256
LEAST = 50  # held-out samples, or a threshold of 1 % would mean nothing


@dataclass(frozen=True)
class Copies:
    """The nearest training item of each of n samples.

    Args:
        nearest: Its number (n,).
        distance: Its distance (n,), over all that the samples were moved by.
        second: That of the second nearest.
        usual: The mean distance of the next ``NEIGHBOURS``.
    """

    nearest: Tensor
    distance: Tensor
    second: Tensor
    usual: Tensor

    def first(self, count: int) -> Copies:
        """Those of the first samples alone."""
        parts = (self.nearest, self.distance, self.second, self.usual)
        return Copies(*(part[:count] for part in parts))

    @property
    def relative(self) -> Tensor:
        """The distance over what is usual among the sample's neighbours (Carlini et al. 2023), (n,)
        in [0, 1]: a copy is near to one item alone, a smooth sample to many.
        """
        return self.distance / self.usual.clamp(min=1e-12)

    @property
    def ratio(self) -> Tensor:
        """The distance of the nearest over that of the second nearest, (n,)."""
        return self.distance / self.second.clamp(min=1e-12)


def nearest_in_pixels(samples: Tensor, train: Tensor) -> Copies:
    """The nearest training items under flips of the last axis, shifts of up to a pixel along the
    last two, and any change of contrast and brightness.

    The distance is sqrt(2 - 2 r), with r the largest correlation of the values.

    Args:
        samples: (n, channels, *space).
        train: (m, channels, *space).

    Returns:
        Who is nearest.

    Raises:
        InputError: There are too few training items.
    """
    items = standard(train)
    moved = [standard(x) for x in moves(samples)]

    def parts() -> Iterator[Tensor]:
        for start in range(0, len(samples), ROWS):
            block = [x[start : start + ROWS] @ items.T for x in moved]
            best = torch.stack(block).amax(0) if len(block) > 1 else block[0]
            yield (2 - 2 * best).clamp(min=0).sqrt()

    return _copies(parts(), len(train))


def nearest_in_features(samples: Tensor, train: Tensor) -> Copies:
    """The nearest training items by the distance of features.

    Args:
        samples: (n, d).
        train: (m, d).

    Returns:
        Who is nearest.
    """
    parts = (
        torch.cdist(samples[start : start + ROWS].double(), train.double())
        for start in range(0, len(samples), ROWS)
    )
    return _copies(parts, len(train))


def moves(x: Tensor) -> Iterator[Tensor]:
    """The samples (n, channels, *space) as they are, and flipped and shifted; of vectors alone as
    they are.
    """
    axes = min(x.ndim - 2, 2)
    if axes < 1:
        yield x
        return
    steps = range(-SHIFT, SHIFT + 1)
    offsets = [(r, c) for r in (steps if axes == 2 else (0,)) for c in steps]
    for picture in (x, x.flip(-1)):
        for rows, columns in offsets:
            yield _shifted(picture, rows, columns)


def _shifted(x: Tensor, rows: int, columns: int) -> Tensor:
    """The samples moved by whole pixels, their borders repeated."""
    for axis, by in ((-1, columns), (-2, rows)):
        if by:
            size = x.shape[axis]
            place = (torch.arange(size) - by).clamp(0, size - 1)
            x = x.index_select(x.ndim + axis, place)
    return x


def standard(x: Tensor) -> Tensor:
    """Each sample's values (n, d) with mean 0 and length 1; 0 where they are all alike."""
    flat = x.flatten(1).float()
    flat = flat - flat.mean(1, keepdim=True)
    unit: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return unit


def _copies(distances: Iterator[Tensor], count: int) -> Copies:
    if count < NEIGHBOURS + 2:
        raise InputError(
            f"Copies are looked for among at least {NEIGHBOURS + 2} training items, got {count}."
        )
    found = [d.topk(NEIGHBOURS + 1, dim=1, largest=False) for d in distances]
    values = torch.cat([f.values for f in found]).double()
    numbers = torch.cat([f.indices for f in found])
    return Copies(numbers[:, 0], values[:, 0], values[:, 1], values[:, 1:].mean(1))


@dataclass(frozen=True)
class Verdict:
    """Which samples are nearer to the training data than held-out ones are.

    Args:
        threshold: Below which a relative distance is a copy's.
        flagged: (n,), whether it is.
        chance: How likely so many are where samples are as held-out data are.
    """

    threshold: float
    flagged: Tensor
    chance: float


def verdict(samples: Tensor, held_out: Tensor, alarm: float = 0.01) -> Verdict:
    """Flag samples below the k-th smallest score of held-out data, k = alarm (h + 1), at least 1.

    Of samples like the held-out ones a share k / (h + 1) is flagged on average; how many of n are,
    has the beta-binomial law BB(n, k, h + 1 - k) whatever the law of the scores, so ``chance`` is
    exact.

    Args:
        samples: Scores (n,), small for copies.
        held_out: Scores (h,) of data that were not trained on.
        alarm: The share of false alarms that is allowed.

    Returns:
        The threshold, who is below it, and how likely so many are by chance.

    Raises:
        InputError: There are fewer than ``LEAST`` held-out samples.
    """
    h, n = len(held_out), len(samples)
    if h < LEAST:
        raise InputError(
            f"A threshold needs at least {LEAST} held-out samples, got {h}; give more of them."
        )
    k = max(1, math.floor(alarm * (h + 1)))
    threshold = float(held_out.double().sort().values[k - 1])
    flagged = samples.double() < threshold
    return Verdict(threshold, flagged, beta_binomial_tail(int(flagged.sum()), n, k, h + 1 - k))


def beta_binomial_tail(least: int, n: int, a: float, b: float) -> float:
    """P(X >= least) of X ~ beta-binomial(n, a, b)."""
    j = torch.arange(least, n + 1, dtype=torch.float64)
    size, first, second = (torch.tensor(float(v), dtype=torch.float64) for v in (n, a, b))
    log_choose = torch.lgamma(size + 1) - torch.lgamma(j + 1) - torch.lgamma(size - j + 1)
    log_beta = torch.lgamma(j + first) + torch.lgamma(size - j + second)
    log_beta = log_beta - torch.lgamma(size + first + second)
    norm = torch.lgamma(first) + torch.lgamma(second) - torch.lgamma(first + second)
    return min(1.0, float((log_choose + log_beta - norm).exp().sum()))


def membership_auc(members: Tensor, others: Tensor) -> Estimate:
    """The area under the curve of telling members by a score that is smaller for them, such as the
    loss: P(member < other) + P(equal) / 2, with the standard error of DeLong et al. 1988.

    Args:
        members: Scores (m,) of what was trained on.
        others: Scores (n,) of what was not.

    Returns:
        The area: 0.5 where they cannot be told apart.
    """
    below = (members[:, None] < others[None]).double() + 0.5 * (members[:, None] == others).double()
    by_member, by_other = below.mean(1), below.mean(0)
    variance = by_member.var() / len(members) + by_other.var() / len(others)
    return Estimate(float(below.mean()), float(variance.sqrt()), 0.0, 1.0)
