r"""Saturated exposures: y = clip(f x + m + s e, low, high) with e ~ N(0, 1), fitted by maximum
likelihood (Tobin 1958).

With h = 1 / s, a = f / s, b = m / s and z = h y - a x - b the log-likelihood of a pixel is

    log h - z^2 / 2   where it is not clipped,
    log Phi(z)        at the low end,
    log Phi(-z)       at the high end,

concave in (a, b, h) (Olsen 1978), so that Newton's method finds the maximum. Least squares through
the pixels that are not clipped would not do: which those are depends on e, and f comes out too
small wherever x is an estimate.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.core.shapes import expand, mean_per_sample
from unfog.physics.exposure import Exposure, Fit, Fitter, line

ITERATIONS = 20


def saturated_line(low: float, high: float) -> Fitter:
    """Tobin's fit of f and m, one for each sample, to a y that was clipped to [low, high]."""

    def fit(x: Tensor, y: Tensor) -> Fit:
        x, y, dtype = x.flatten(1).double(), y.flatten(1).double(), x.dtype
        # 1 at the low end, -1 at the high end, 0 where y is not clipped.
        side = (y <= low).to(y) - (y >= high).to(y)
        # The start, by least squares; theta is (a, b, h).
        first = line(x[:, None], y[:, None]).exposure
        rest = (y - first(x)).square().mean(1).sqrt().clamp(min=1e-6 * float(y.std()))
        theta = torch.stack([first.factor / rest, first.offset / rest, 1 / rest], 1)
        columns = torch.stack([-x, -torch.ones_like(x), y], 2)  # dz / d(a, b, h)
        # Newton's method.
        for _ in range(ITERATIONS):
            last_theta, theta = theta, _newton(theta, columns, side)
            if bool(
                ((theta - last_theta).abs() <= 1e-9 * last_theta.abs().amax(1, keepdim=True)).all()
            ):
                break
        # Back to f and m, and the share of variance that f x explains.
        a, b, h = theta.unbind(1)
        factor = (a / h).clamp(min=torch.finfo(dtype).tiny)
        explained = factor**2 * x.var(1, unbiased=False)
        return Fit(
            Exposure(factor.to(dtype), (b / h).to(dtype)),
            (explained / (explained + 1 / h**2)).to(dtype),
        )

    return fit


def _newton(theta: Tensor, columns: Tensor, side: Tensor) -> Tensor:
    """One step of Newton's method, at most as long as leaves h within a factor of 2; theta (batch,
    3), columns dz / d(a, b, h) (batch, pixels, 3), side (batch, pixels).
    """
    z = (columns @ theta[:, :, None])[..., 0]
    u = side * z
    # phi(u) / Phi(u), the slope of log Phi.
    ratio = torch.exp(-0.5 * u**2 - 0.5 * math.log(2 * math.pi) - torch.special.log_ndtr(u))
    unclipped = side == 0
    slope = torch.where(unclipped, -z, ratio * side)
    curvature = torch.where(unclipped, torch.ones_like(z), ratio * (ratio + u))
    inverse_h = mean_per_sample(unclipped.to(z)) / theta[:, 2]
    # Mean over the pixels, with those of log h.
    gradient = (slope[..., None] * columns).mean(1)
    hessian = (curvature[..., None] * columns).mT @ columns / z.shape[1]
    gradient[:, 2] += inverse_h
    hessian[:, 2, 2] += inverse_h / theta[:, 2]
    step = torch.linalg.solve(
        hessian
        + 1e-12 * torch.eye(3).to(z) * hessian.diagonal(dim1=1, dim2=2).amax(1)[:, None, None],
        gradient,
    )
    fraction = (0.5 * theta[:, 2] / step[:, 2].abs().clamp(min=torch.finfo(z.dtype).tiny)).clamp(
        max=1
    )
    next_theta: Tensor = theta + expand(fraction, step) * step
    return next_theta
