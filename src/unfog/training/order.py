"""The order of samples and the random streams of training, as pure functions of (seed, step,
sample): a resumed run draws what the unbroken one would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.errors import InputError


# A batch spans two epochs at most, unless it is larger than the data.
@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, n: int) -> Tensor:
    """The order of the ``n`` samples in an epoch."""
    return torch.randperm(n, generator=generator(seed, "order", epoch))


def ids(seed: int, step: int, batch: int, n: int) -> list[int]:
    """The numbers of the samples in one training step.

    The stream of training is the permutations of epoch 0, 1, 2, ... end to end, and step s takes
    the s-th batch of it. No sample is left out, and a batch may span two epochs.

    Args:
        seed: The seed of the run.
        step: The step, from 1.
        batch: The samples of a step.
        n: The samples of the data set.

    Returns:
        ``batch`` numbers from 0 to n - 1.

    Raises:
        InputError: The data set is empty.

    >>> sorted(ids(0, 1, 2, 4) + ids(0, 2, 2, 4))
    [0, 1, 2, 3]
    """
    if n < 1:
        raise InputError("The training data is empty; choose a dataset with at least one sample.")
    places = range((step - 1) * batch, step * batch)
    return [int(_permutation(seed, place // n, n)[place % n]) for place in places]


class Share(list[int]):
    """The numbers of one process's samples of a step, which know those of all.

    Args:
        whole: The samples of the step.
        rank: Which of ``count`` equal parts this is.
        count: Processes.
    """

    def __init__(self, whole: Sequence[int], rank: int = 0, count: int = 1) -> None:
        size = len(whole) // count
        self.whole, self.place = list(whole), slice(rank * size, (rank + 1) * size)
        super().__init__(self.whole[self.place])


def place_in_batch(samples: Sequence[int]) -> tuple[int, slice]:
    """The samples of the step that these are all or a share of, and their place in it."""
    if isinstance(samples, Share):
        return len(samples.whole), samples.place
    return len(samples), slice(None)


def streams(purpose: str, seed: int, step: int, samples: Sequence[int]) -> list[torch.Generator]:
    """One random generator per sample, seeded by (seed, purpose, step, sample).

    A sample that is twice in a batch gets the same generator object twice, so that its second draw
    differs from the first.

    Args:
        purpose: What is drawn, such as "noise": streams of other purposes are independent.
        seed: The seed of the run.
        step: The training step, from 1.
        samples: The numbers of the batch's samples.

    Returns:
        A CPU generator for each of ``samples``.
    """
    by_sample = {sample: generator(seed, purpose, step, sample) for sample in samples}
    return [by_sample[sample] for sample in samples]
