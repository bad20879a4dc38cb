r"""Saturated exposures: y = clip(f x + m + s e, low, high) with e ~ N(0, 1); the fit is Tobin's
(1958), by maximum likelihood.

With h = 1 / s, a = f / s, b = m / s and z = h y - a x - b a pixel says

    log h - z^2 / 2  where it is seen,     log Phi(z) at the low end,
    log Phi(-z) at the high end,

concave in (a, b, h) (Olsen 1978), so that Newton's method finds the maximum. Least squares through
the pixels that are seen would not do: which those are depends on e, and f comes out too small
wherever x is an estimate.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.core.shapes import expand, mean_per_sample
from unfog.physics.exposure import Exposure, Fit, Fitter, line

ITERATIONS = 20


def saturated_line(low: float, high: float) -> Fitter:
    """A fit, one f and m for each sample, that knows between which ends y was clipped."""

    def fit(x: Tensor, y: Tensor) -> Fit:
        x, y, dtype = x.flatten(1).double(), y.flatten(1).double(), x.dtype
        side = (y <= low).to(y) - (y >= high).to(
            y
        )  # 1 at the low end, -1 at the high end, 0 where y is seen
        first = line(x[:, None], y[:, None]).exposure
        rest = (y - first(x)).square().mean(1).sqrt().clamp(min=1e-6 * float(y.std()))
        theta = torch.stack([first.factor / rest, first.offset / rest, 1 / rest], 1)
        columns = torch.stack([-x, -torch.ones_like(x), y], 2)  # dz / d(a, b, h)
        for _ in range(ITERATIONS):
            before, theta = theta, _newton(theta, columns, side)
            if bool(((theta - before).abs() <= 1e-9 * before.abs().amax(1, keepdim=True)).all()):
                break
        a, b, h = theta.unbind(1)
        factor = (a / h).clamp(min=torch.finfo(dtype).tiny)
        explained = factor**2 * x.var(1, unbiased=False)
        return Fit(
            Exposure(factor.to(dtype), (b / h).to(dtype)),
            (explained / (explained + 1 / h**2)).to(dtype),
        )

    return fit


def _newton(theta: Tensor, columns: Tensor, side: Tensor) -> Tensor:
    """One step, at most as long as leaves h within a factor of 2; theta (batch, 3), columns (batch,
    pixels, 3).
    """
    z = (columns @ theta[:, :, None])[..., 0]
    u = side * z
    ratio = torch.exp(-0.5 * u**2 - 0.5 * math.log(2 * math.pi) - torch.special.log_ndtr(u))
    seen = side == 0
    slope = torch.where(seen, -z, ratio * side)
    curvature = torch.where(seen, torch.ones_like(z), ratio * (ratio + u))
    inverse_h = mean_per_sample(seen.to(z)) / theta[:, 2]
    gradient = (slope[..., None] * columns).mean(1)
    hessian = (curvature[..., None] * columns).mT @ columns / z.shape[1]
    gradient[:, 2] += inverse_h
    hessian[:, 2, 2] += inverse_h / theta[:, 2]
    step = torch.linalg.solve(
        hessian
        + 1e-12 * torch.eye(3).to(z) * hessian.diagonal(dim1=1, dim2=2).amax(1)[:, None, None],
        gradient,
    )
    reach = (0.5 * theta[:, 2] / step[:, 2].abs().clamp(min=torch.finfo(z.dtype).tiny)).clamp(max=1)
    moved: Tensor = theta + expand(reach, step) * step
    return moved
