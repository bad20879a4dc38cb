r"""The weights of exponential multistep solvers (``multistep``), from the moments

    M_k = h int_0^1 e^{-h (1 - theta)} theta^k dtheta

that the exact solution has. The published solvers change one moment; each change is a ``Rule``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Moments = NDArray[np.float64]
Rule = Callable[[Moments], Moments]  # the exact moments M (n,) to those that a method uses


def exact(moments: Moments) -> Moments:
    """Exponential Adams, of order n with n points; with two DPM-Solver++(2M), ``heun`` form."""
    return moments


def midpoint(moments: Moments) -> Moments:
    """DPM-Solver++(2M) in its ``midpoint`` form, and UniPC: M_1 = M_0 / 2 where there are two
    points. It is still of order 2, but several percent away from ``exact`` at few steps.
    """
    return moments[0] / np.array([1.0, 2.0]) if len(moments) == 2 else moments


def halved(moments: Moments) -> Moments:
    """k-diffusion's DPM-Solver++(3M) SDE: half of M_2, which leaves it of order 2."""
    return np.concatenate([moments[:2], moments[2:] / 2])


def dpmpp_3m_rule(moments: Moments) -> Moments:
    """DPM-Solver++(3M) as it is in use (diffusers has the same numbers): ``halved`` with three
    points, ``midpoint`` in its second step, where there are two.
    """
    return halved(moments) if len(moments) == 3 else midpoint(moments)


_ABSCISSAE, _WEIGHTS = np.polynomial.legendre.leggauss(32)


def moments(h: float, count: int) -> Moments:
    """M_0 .. M_{count-1}, (count,), by quadrature: the closed form loses its digits at small h."""
    first = -math.expm1(-h)  # M_0 = 1 - e^{-h} is closed, and all there is of an infinite step
    if count == 1:
        return np.array([first])
    # Gauss-Legendre on [0, 1].
    theta = (1 + _ABSCISSAE) / 2
    kernel = h * np.exp(-h * (1 - theta)) * _WEIGHTS / 2
    higher = [float((kernel * theta**k).sum()) for k in range(1, count)]
    return np.array([first, *higher])


@lru_cache(maxsize=4096)
def weights(lams: tuple[float, ...], h: float, rate: float, rule: Rule) -> tuple[float, ...]:
    """The w_j of a step of ``h`` in lam; remembered, as the steps of a grid come with every batch.

    Args:
        lams: The place of each estimate, over that of x_t.
        h: lam_s - lam_t.
        rate: The moments are those of ``rate`` h: 1 for an ODE in D, 1 + eta^2 for an SDE, -1 for
            an ODE in the noise.
        rule: Takes them to those of the method.

    Returns:
        w_j, as many.
    """
    integrals = rule(moments(rate * h, len(lams)))
    if len(lams) == 1:
        return (float(integrals[0]),)
    # sum_j w_j theta_j^k = M_k, a Vandermonde system in the powers of theta.
    theta = np.array(lams) / h
    found = np.linalg.solve(theta ** np.arange(len(lams))[:, None], integrals)
    return tuple(found.tolist())
