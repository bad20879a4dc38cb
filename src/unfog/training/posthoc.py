r"""Averages made after training (Karras et al. 2024, "EDM2", section 3 and appendix C).

A power function of exponent gamma that ended at t has the profile p(tau) = (gamma + 1) tau^gamma /
t^(gamma + 1) on [0, t], and two have

    <p_a, p_b> = (gamma_a + 1) (gamma_b + 1) min(t)^e / ((gamma_a + gamma_b + 1) max(t)^(e + 1)),
    e = gamma of the one that ended later.

The wanted profile is approached by stored ones p_i with factors x that minimise |sum x_i p_i -
p|^2, and the weights with the same factors. Unlike the paper we keep sum x_i = 1, so that a weight
that never moved comes out as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.errors import InputError
from unfog.training.ema import exponent
from unfog.training.snapshots import Stored

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """A power function of this length (sigma_rel) that ended after so many updates."""

    length: float
    updates: int


def inner_products(a: Sequence[Profile], b: Sequence[Profile]) -> Array:
    """<p_a, p_b> for every pair, (len(a), len(b))."""
    (gamma_a, t_a), (gamma_b, t_b) = _columns(a), _columns(b)
    gamma_a, t_a = gamma_a[:, None], t_a[:, None]
    later = np.where(t_a < t_b, gamma_b, gamma_a)
    low, high = np.minimum(t_a, t_b), np.maximum(t_a, t_b)
    products: Array = (
        (gamma_a + 1) * (gamma_b + 1) * (low / high) ** later / ((gamma_a + gamma_b + 1) * high)
    )
    return products


def _columns(profiles: Sequence[Profile]) -> tuple[Array, Array]:
    return np.array([exponent(p.length) for p in profiles]), np.array(
        [p.updates for p in profiles], dtype=np.float64
    )


def factors(stored: Sequence[Profile], wanted: Profile) -> tuple[Array, float]:
    """x (len(stored),), and |sum x_i p_i - p| / |p|, which is 0 where the wanted profile can be
    made exactly.
    """
    gram, onto = inner_products(stored, stored), inner_products(stored, [wanted])[:, 0]
    size = np.sqrt(
        gram.diagonal()
    )  # scaled to unit length, so that the digits go where they matter
    n = len(stored)
    bordered, right = np.zeros((n + 1, n + 1)), np.zeros(n + 1)
    bordered[:n, :n], right[:n] = gram / np.outer(size, size), onto / size
    bordered[n, :n] = bordered[:n, n] = 1 / size
    bordered[n] /= bordered[n, 0]
    bordered[:, n] /= bordered[0, n]
    right[n] = size[0]
    solution = np.linalg.lstsq(bordered, right, rcond=None)[0][:n] / size
    own = float(inner_products([wanted], [wanted])[0, 0])
    miss = own - 2 * float(solution @ onto) + float(solution @ gram @ solution)
    return solution, float(np.sqrt(max(miss, 0.0) / own))


def reconstruct(
    stored: Sequence[Stored], length: float, updates: int | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights by name of the average of ``length`` that ended after ``updates``, by default the
    last; and facts about it.

    Integers are those of the newest average. ``InputError`` for a length that no power function
    has, or a time before the first snapshot.
    """
    last = max(one.updates for one in stored)
    wanted = Profile(length, last if updates is None else updates)
    exponent(length)
    if not min(one.updates for one in stored) <= wanted.updates <= last:
        raise InputError(
            f"The snapshots end at {last} updates of the weights, so no average can end at "
            f"{wanted.updates}."
        )
    used = [one for one in stored if one.updates <= wanted.updates]
    x, miss = factors([Profile(one.length, one.updates) for one in used], wanted)
    sums: dict[str, Tensor] = {}
    kinds: dict[str, torch.dtype] = {}
    for factor, one in zip(x.tolist(), used, strict=True):
        for name, value in one.load().items():
            kinds[name] = value.dtype
            if value.is_floating_point():
                sums[name] = (
                    sums.get(name, torch.zeros((), dtype=torch.float64)) + factor * value.double()
                )
            else:
                sums[name] = value
    weights = {name: value.to(kinds[name]) for name, value in sums.items()}
    return weights, {
        "length": length,
        "updates": wanted.updates,
        "averages used": len(used),
        "profile error": miss,
    }
