"""How well restored samples explain the measurement they were made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.physics.linear import Operator


def measured_where(operator: Operator, shape: Sequence[int]) -> Tensor:
    """True at the values of y = A x that depend on x, False where a mask makes them 0 for every x.

    ``shape`` is that of x, (n, channels, *space); the answer has the shape of y.
    """
    # A random x makes a value 0 only where every x does.
    return operator(torch.randn(tuple(shape), generator=torch.Generator().manual_seed(0))) != 0


def data_consistency(
    operator: Operator, measurement: Tensor, samples: Tensor, sigma: float
) -> float:
    """The root mean square of (y - A x) / sigma over what was measured: about 1 where the samples x
    explain y, above 1 where they contradict it.

    Values that are 0 for every x, where a mask leaves them out, do not count, and neither does an
    image whose measurement is 0 everywhere.

    Args:
        operator: A.
        measurement: y, (images, channels', *space').
        samples: Draws of x given y, (images, samples, channels, *space).
        sigma: The standard deviation of the noise in y.

    Returns:
        The root mean square, in deviations of the noise.
    """
    counts = measured_where(operator, samples[:, 0].shape)
    # An empty image is left as it is.
    not_empty = measurement.flatten(1).any(1)
    counts &= not_empty.view(-1, *(1,) * (measurement.ndim - 1))
    squares = []
    for x in samples.unbind(1):
        misfit = measurement - operator(x)
        squares.append(misfit[counts.expand_as(measurement)].square().mean())
    return float(torch.stack(squares).mean().sqrt()) / sigma
