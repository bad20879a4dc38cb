"""Post-hoc EMA: averages of the weights made after training, of any length (Karras et al. 2024,
"EDM2", section 3 and appendix C).

The profile of the average is approximated by a linear combination of the profiles of stored ones,
and its weights are the same combination of theirs.
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
    """The profile of a power-function EMA: how much the weights of each update count in it.

        p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1)    on [0, t],

    gamma the exponent of ``length`` (the paper's sigma_rel; ``training.ema.exponent``) and t the
    ``updates`` after which it ended.
    """

    length: float
    updates: int


def inner_products(a: Sequence[Profile], b: Sequence[Profile]) -> Array:
    """The inner products of two lists of profiles, (len(a), len(b)).

        <p_a, p_b> = (gamma_a + 1) (gamma_b + 1) min(t)^e / ((gamma_a + gamma_b + 1) max(t)^(e + 1))

    with e the gamma of the profile that ended later.
    """
    (gamma_a, t_a), (gamma_b, t_b) = _columns(a), _columns(b)
    gamma_a, t_a = gamma_a[:, None], t_a[:, None]
    later = np.where(t_a < t_b, gamma_b, gamma_a)
    low, high = np.minimum(t_a, t_b), np.maximum(t_a, t_b)
    products: Array = (
        (gamma_a + 1) * (gamma_b + 1) * (low / high) ** later / ((gamma_a + gamma_b + 1) * high)
    )
    return products


def _columns(profiles: Sequence[Profile]) -> tuple[Array, Array]:
    """The exponents gamma and the ends t of profiles, as arrays."""
    return np.array([exponent(p.length) for p in profiles]), np.array(
        [p.updates for p in profiles], dtype=np.float64
    )


def factors(stored: Sequence[Profile], wanted: Profile) -> tuple[Array, float]:
    """The factors x of the stored profiles p_i that approximate a profile p best.

        min_x |sum x_i p_i - p|^2    subject to    sum x_i = 1.

    The constraint is not in the paper: with it a weight that never moved comes out as it is.

    Args:
        stored: The profiles p_i.
        wanted: The profile p.

    Returns:
        x (len(stored),), and the error |sum x_i p_i - p| / |p|, which is 0 where p can be made
        exactly.
    """
    gram, onto = inner_products(stored, stored), inner_products(stored, [wanted])[:, 0]
    # The normal equations in profiles of unit norm, for their conditioning, bordered by the
    # Lagrange multiplier of the constraint, whose row and column are scaled to begin with 1.
    size = np.sqrt(gram.diagonal())
    n = len(stored)
    bordered, right = np.zeros((n + 1, n + 1)), np.zeros(n + 1)
    bordered[:n, :n], right[:n] = gram / np.outer(size, size), onto / size
    bordered[n, :n] = bordered[:n, n] = 1 / size
    bordered[n] /= bordered[n, 0]
    bordered[:, n] /= bordered[0, n]
    right[n] = size[0]
    solution = np.linalg.lstsq(bordered, right, rcond=None)[0][:n] / size
    # |sum x_i p_i - p|^2 by the inner products.
    norm = float(inner_products([wanted], [wanted])[0, 0])
    miss = norm - 2 * float(solution @ onto) + float(solution @ gram @ solution)
    return solution, float(np.sqrt(max(miss, 0.0) / norm))


def reconstruct(
    stored: Sequence[Stored], length: float, updates: int | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The power-function EMA of any length, from the stored ones.

    Args:
        stored: The averages on disk.
        length: The length (sigma_rel) of the new average.
        updates: The updates after which it ended; by default the last of the stored ones.

    Returns:
        Its weights by name, integers being those of the newest average used; and facts about it:
        ``length``, ``updates``, ``averages used``, ``profile error``.

    Raises:
        InputError: No power function has this length, or the time is before the first snapshot or
            after the last.
    """
    last = max(one.updates for one in stored)
    target = Profile(length, last if updates is None else updates)
    exponent(length)
    if not min(one.updates for one in stored) <= target.updates <= last:
        raise InputError(
            f"The snapshots end at {last} updates of the weights, so no average can end at "
            f"{target.updates}."
        )
    # Weights of updates after the target's end must not count in it.
    used = [one for one in stored if one.updates <= target.updates]
    x, miss = factors([Profile(one.length, one.updates) for one in used], target)
    # sum x_i weights_i, in float64 and one file at a time.
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
    # In the types they were stored in.
    weights = {name: value.to(kinds[name]) for name, value in sums.items()}
    return weights, {
        "length": length,
        "updates": target.updates,
        "averages used": len(used),
        "profile error": miss,
    }
