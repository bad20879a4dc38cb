"""What is drawn when: a pure function of (seed, step, sample), so that a resumed run draws what the
unbroken one would have.

Samples come by epochs: the stream of training is the permutations of epoch 0, 1, 2, ... end to end,
and step s (from 1) takes the s-th batch of it. No sample is left out and a batch may span two
epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.errors import InputError


@lru_cache(
    maxsize=2
)  # the function is pure; a batch spans two epochs at most, unless it is larger than the data
def _permutation(seed: int, epoch: int, n: int) -> Tensor:
    return torch.randperm(n, generator=generator(seed, "order", epoch))


def ids(seed: int, step: int, batch: int, n: int) -> list[int]:
    """The samples, out of ``n``, of training step ``step`` (from 1).

    >>> sorted(ids(0, 1, 2, 4) + ids(0, 2, 2, 4))
    [0, 1, 2, 3]
    """
    if n < 1:
        raise InputError("The training data is empty; choose a dataset with at least one sample.")
    places = range((step - 1) * batch, step * batch)
    return [int(_permutation(seed, place // n, n)[place % n]) for place in places]


def streams(purpose: str, seed: int, step: int, samples: Sequence[int]) -> list[torch.Generator]:
    """One generator per sample, seeded by (seed, step, sample).

    A sample that comes twice in a batch gets the same generator object, and so draws on instead of
    repeating itself.
    """
    own = {sample: generator(seed, purpose, step, sample) for sample in samples}
    return [own[sample] for sample in samples]
