r"""Factors on standard deviations with which intervals hold: conformal, from held-out errors, and
Student's, without them.

An interval |x - mean| <= factor z std is to hold for a share ``level`` of values, z the normal
quantile of (1 + level) / 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.errors import InputError

LEVEL = 0.9


def conformal_scale(error: Tensor, std: Tensor, level: float = LEVEL) -> float:
    """The conformal factor (Papadopoulos et al. 2002; Angelopoulos et al. 2022): the ceil((n + 1)
    level)-th smallest of the n scores |x - mean| / (z std).

    It holds for values as exchangeable with the held-out ones. Pixels of one image err together, so
    what counts as n is nearer to the number of images.

    Args:
        error: x - mean of held-out values, any shape.
        std: Their standard deviations, of the same shape.
        level: The share of values that the interval holds.

    Returns:
        The factor.

    Raises:
        InputError: The level is not between 0 and 1, there are too few values for it, or they are
            not finite.
    """
    if not 0 < level < 1:
        raise InputError(f"The level of an interval is between 0 and 1, got {level}.")
    # The scores |x - mean| / std, and the place of the wanted one among them.
    scores = (
        (error.abs() / std.clamp(min=1e-6 * float(std.abs().max().clamp(min=1e-30))))
        .flatten()
        .double()
    )
    place = math.ceil((len(scores) + 1) * level)
    if place > len(scores):
        raise InputError(
            f"An interval of {100 * level:g} % needs more than {len(scores)} held-out values."
        )
    if not bool(scores.isfinite().all()):
        raise InputError("The errors and deviations of an interval must be finite.")
    # The scores are still to be divided by z.
    z = torch.special.ndtri(torch.tensor(0.5 + level / 2, dtype=torch.float64))
    return float(scores.kthvalue(place).values / z)


def student_scale(draws: int, level: float = LEVEL) -> float:
    """Student's factor for the mean and the standard deviation of K ``draws`` of a true, normal
    posterior, which predict one more with

        factor = t_(K-1) sqrt(1 + 1 / K) / z        (1.22 for 8 draws at 90 %).

    Raises `InputError` below 2 draws.
    """
    if draws < 2:
        raise InputError(f"The spread of samples needs at least 2 of them, got {draws}.")
    z = float(torch.special.ndtri(torch.tensor(0.5 + level / 2, dtype=torch.float64)))
    return student_quantile(draws - 1, level) * math.sqrt(1 + 1 / draws) / z


def student_quantile(freedom: int, level: float) -> float:
    """Student's two-sided quantile t, P(|T| <= t) = ``level``: in closed form for 1 and 2 degrees
    of freedom, else by Fisher's series, to a hundredth at 90 and 95 %.

    >>> round(student_quantile(2, 0.95), 3), round(student_quantile(4, 0.95), 2)
    (4.303, 2.77)
    """
    if freedom == 1:
        return math.tan(math.pi * level / 2)
    if freedom == 2:
        return level * math.sqrt(2.0 / (1.0 - level * level))
    z = float(torch.special.ndtri(torch.tensor(0.5 + level / 2, dtype=torch.float64)))
    # Fisher's series in 1 / n, n the degrees of freedom.
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(z + sum(term / freedom**k for k, term in enumerate(terms, 1)))
