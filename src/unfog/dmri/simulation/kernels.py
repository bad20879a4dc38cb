r"""Fibre kernels: the signal of one fibre population as zonal harmonics, and its harmonics along a
direction.

Diffusivities are in um^2/ms, b in ms/um^2 (1000 s/mm^2).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from unfog.dmri import harmonics

NODES = 24  # of the Gauss-Legendre quadrature over [-1, 1]


@lru_cache(maxsize=4)
def _quadrature(order: int) -> tuple[Tensor, Tensor]:
    """Squares t^2 of the positive Gauss-Legendre nodes, (n,), and the weights 2 pi w P_l(t) of both
    halves, (order / 2 + 1, n), float64.
    """
    t, w = np.polynomial.legendre.leggauss(NODES)
    t, w = t[NODES // 2 :], 2 * w[NODES // 2 :]
    legendre = np.polynomial.legendre.legvander(t, order)[:, ::2].T
    return torch.from_numpy(t**2), torch.from_numpy(2 * math.pi * w * legendre)


def zonal(parallel: Tensor, perpendicular: Tensor, b: float | Tensor, order: int) -> Tensor:
    """Zonal coefficients of a Gaussian compartment that is axisymmetric about the fibre n; with t =
    u . n,

        K(t) = exp(-b (D_perp + (D_par - D_perp) t^2)),      k_l = 2 pi int_-1^1 K(t) P_l(t) dt.

    A stick has D_perp = 0, and a zeppelin's is given by tortuosity, D_perp = (1 - f) D_par (Szafer
    et al. 1995; Panagiotaki et al. 2012).

    Args:
        parallel: D_par, any shape.
        perpendicular: D_perp, of the same shape.
        b: One number, or of the same shape.
        order: Highest l, even.

    Returns:
        k_l for l = 0, 2, .., (order / 2 + 1, *shape).
    """
    squares, weights = (part.to(parallel) for part in _quadrature(order))
    exponent = torch.addcmul(
        (b * perpendicular).flatten(), squares[:, None], (b * (parallel - perpendicular)).flatten()
    )
    return (weights @ exponent.neg_().exp_()).reshape(-1, *parallel.shape)


def dispersed(k: Tensor, kappa: Tensor) -> Tensor:
    """Zonal coefficients ``k`` (order / 2 + 1, *shape) of a population whose directions are spread
    about n as a diffusion on the sphere spreads them, times exp(-l (l + 1) / (4 kappa)); ``kappa``
    broadcasts to shape.
    """
    degree = 2 * torch.arange(len(k), dtype=k.dtype).view(-1, *(1,) * (k.ndim - 1))
    return k * torch.exp(-degree * (degree + 1) / (4 * kappa))


def along(k: Tensor, directions: Tensor) -> Tensor:
    """The Funk-Hecke theorem: harmonics c_lm = k_l Y_lm(n), (count, *shape), of u -> K(u . n), for
    kernels ``k`` (order / 2 + 1, *shape) along unit ``directions`` n (3, *shape).
    """
    order = 2 * (len(k) - 1)
    return k[harmonics.degrees(order) // 2] * evaluate(directions, order)


def evaluate(directions: Tensor, order: int) -> Tensor:
    """Y_lm at many unit ``directions`` (3, *shape), (count, *shape), faster than
    ``harmonics.design`` and in their own type.

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
    """For each degree its monomials, as (index of one of the degree below, axis that multiplies
    it); and the harmonics as combinations of the monomials of the last degree.
    """
    exponents: list[tuple[int, ...]] = [(0, 0, 0)]
    factors = []
    for _ in range(order):
        # Each monomial once, with one way to make it.
        origin = {
            tuple(e[i] + (i == axis) for i in range(3)): (k, axis)
            for k, e in enumerate(exponents)
            for axis in range(3)
        }
        exponents = sorted(origin)
        factors.append([origin[e] for e in exponents])
    # An exact fit of the harmonics by the monomials, on more than enough directions.
    sphere = harmonics.fibonacci(4 * harmonics.count(order))
    powers = torch.stack(
        [(sphere ** torch.tensor(e, dtype=torch.float64)).prod(1) for e in exponents], 1
    )
    return factors, torch.linalg.lstsq(powers, harmonics.design(sphere, order)).solution
