r"""Fibre kernels: the signal of one fibre population as zonal harmonics, and the Funk-Hecke theorem
that points it along a direction.

A compartment that is axisymmetric about the fibre n has, with t = u . n, the signal and the zonal
coefficients

    K(t) = exp(-b (D_perp + (D_par - D_perp) t^2)),      k_l = 2 pi int_-1^1 K(t) P_l(t) dt,

and by Funk-Hecke the coefficients of u -> K(u . n) are c_lm = k_l Y_lm(n). Directions spread about
n as a diffusion on the sphere spreads them multiply k_l by exp(-l (l + 1) / (4 kappa)). A stick has
D_perp = 0, a zeppelin's is given by tortuosity, D_perp = (1 - f) D_par (Szafer et al. 1995;
Panagiotaki et al. 2012). Diffusivities in um^2/ms, b in ms/um^2 (1000 s/mm^2).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from unfog.dmri import harmonics

NODES = 24


@lru_cache(maxsize=4)
def _quadrature(order: int) -> tuple[Tensor, Tensor]:
    """Squares t^2 of the positive Gauss-Legendre nodes (n,) and the weights 2 pi w P_l(t) of both
    halves (order / 2 + 1, n), float64.
    """
    t, w = np.polynomial.legendre.leggauss(NODES)
    t, w = t[NODES // 2 :], 2 * w[NODES // 2 :]
    legendre = np.polynomial.legendre.legvander(t, order)[:, ::2].T
    return torch.from_numpy(t**2), torch.from_numpy(2 * math.pi * w * legendre)


def zonal(parallel: Tensor, perpendicular: Tensor, b: float | Tensor, order: int) -> Tensor:
    """k_l of an axisymmetric Gaussian compartment, (order / 2 + 1, *shape) for diffusivities of any
    one ``shape``.
    """
    squares, weights = (part.to(parallel) for part in _quadrature(order))
    exponent = torch.addcmul(
        (b * perpendicular).flatten(), squares[:, None], (b * (parallel - perpendicular)).flatten()
    )
    return (weights @ exponent.neg_().exp_()).reshape(-1, *parallel.shape)


def dispersed(k: Tensor, kappa: Tensor) -> Tensor:
    """``k`` (order / 2 + 1, *shape) of a population whose directions are concentrated by ``kappa``
    (broadcasts to shape).
    """
    degree = 2 * torch.arange(len(k), dtype=k.dtype).view(-1, *(1,) * (k.ndim - 1))
    return k * torch.exp(-degree * (degree + 1) / (4 * kappa))


def along(k: Tensor, directions: Tensor) -> Tensor:
    """Funk-Hecke: the coefficients (count, *shape) of kernels ``k`` (order / 2 + 1, *shape) along
    unit ``directions`` (3, *shape).
    """
    order = 2 * (len(k) - 1)
    return k[harmonics.degrees(order) // 2] * evaluate(directions, order)


def evaluate(directions: Tensor, order: int) -> Tensor:
    """Y_lm of many unit directions (3, *shape) -> (count, *shape), fast and in their own type.

    On the sphere the even harmonics up to an order are the homogeneous polynomials of that order in
    x, y and z: one product with the table of their monomials.
    """
    factors, table = _polynomials(order)
    axes = directions.flatten(1).unbind(0)
    monomials = [torch.ones_like(axes[0])]
    for degree in factors:
        monomials = [monomials[before] * axes[axis] for before, axis in degree]
    return (table.T.to(directions) @ torch.stack(monomials)).view(-1, *directions.shape[1:])


@lru_cache(maxsize=4)
def _polynomials(order: int) -> tuple[list[list[tuple[int, int]]], Tensor]:
    """For each degree its monomials as (one of the degree below, the axis that multiplies it); the
    harmonics as sums of the last.
    """
    exponents: list[tuple[int, ...]] = [(0, 0, 0)]
    factors = []
    for _ in range(order):
        origin = {
            tuple(e[i] + (i == axis) for i in range(3)): (k, axis)
            for k, e in enumerate(exponents)
            for axis in range(3)
        }
        exponents = sorted(origin)
        factors.append([origin[e] for e in exponents])
    sphere = harmonics.fibonacci(4 * harmonics.count(order))
    powers = torch.stack(
        [(sphere ** torch.tensor(e, dtype=torch.float64)).prod(1) for e in exponents], 1
    )
    return factors, torch.linalg.lstsq(powers, harmonics.design(sphere, order)).solution
