"""Tobin's fit finds the line of a clipped image where least squares does not, and is least squares
where nothing is clipped.
"""

import pytest
import torch

from unfog.physics.exposure import Exposure, line, smooth_offset, smoothed
from unfog.physics.saturation import saturated_line

G = torch.Generator().manual_seed(0)
X = torch.randn(3, 1, 100, 100, generator=G, dtype=torch.float64)
ERROR = 0.5 * torch.randn(X.shape, generator=G, dtype=torch.float64)
TRUTH = Exposure(torch.tensor([0.2, 1.0, 2.0]).double(), torch.tensor([0.1, 0.7, -0.5]).double())


def surprise(theta, x, y, low, high):
    """-log likelihood of f, m and log s, written apart."""
    f, m, s = theta[0], theta[1], theta[2].exp()
    law = torch.distributions.Normal(f * x + m, s)
    ends = torch.where(
        y <= low,
        torch.special.log_ndtr((low - law.loc) / s),
        torch.special.log_ndtr((law.loc - high) / s),
    )
    return -torch.where((y > low) & (y < high), law.log_prob(y), ends).sum()


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1e3, 0.5), (-0.2, 1e3)])
def test_a_clipped_line_is_found(low, high):
    """From an x that is off by noise: the maximum of the likelihood, within 4 standard errors of
    the truth, where least squares is not.
    """
    y = TRUTH(X + ERROR).clamp(low, high)
    fit = saturated_line(low, high)(X, y)
    for k in range(3):
        f, m = fit.exposure.factor[k], fit.exposure.offset[k]
        s = (f**2 * X[k].var(unbiased=False) * (1 / fit.share[k] - 1)).sqrt()
        theta, given = torch.stack([f, m, s.log()]), (X[k].flatten(), y[k].flatten(), low, high)
        slope = torch.autograd.functional.jacobian(
            lambda v, given=given: surprise(v, *given), theta
        )
        information = torch.autograd.functional.hessian(
            lambda v, given=given: surprise(v, *given), theta
        )
        errors = torch.linalg.inv(information).diagonal().sqrt()
        assert float((slope * errors).abs().max()) < 1e-6
        truth = torch.stack([TRUTH.factor[k], TRUTH.offset[k], (0.5 * TRUTH.factor[k]).log()])
        assert float(((theta - truth) / errors).abs().max()) < 4
    assert float((line(X, y).exposure.factor[2] / TRUTH.factor[2] - 1).abs()) > 0.1


def test_unclipped_it_is_least_squares():
    y = TRUTH(X + ERROR)
    found, expected = saturated_line(-100.0, 100.0)(X, y), line(X, y)
    assert torch.allclose(found.exposure.factor, expected.exposure.factor, rtol=1e-6)
    assert torch.allclose(found.exposure.offset, expected.exposure.offset, rtol=1e-6)
    assert torch.allclose(found.share, expected.share, rtol=1e-6)


def test_a_smooth_offset_minimises_its_penalty():
    """The gradient of |y - f x - m|^2 + w |grad m|^2 vanishes, and for a large weight m is one
    number.
    """
    x, y = X[:, :, :9, :12], TRUTH(X + ERROR)[:, :, :9, :12]
    fit = smooth_offset(3.0)(x, y).exposure
    factor, m = fit.factor.clone().requires_grad_(), fit.offset.clone().requires_grad_()
    misfit = (y - factor.view(3, 1, 1, 1) * x - m).square().sum()
    (misfit + 3.0 * (m.diff(dim=2).square().sum() + m.diff(dim=3).square().sum())).backward()
    assert float(factor.grad.abs().max()) < 1e-9
    assert float(m.grad.abs().max()) < 1e-9
    assert torch.allclose(
        smooth_offset(1e9)(x, y).exposure.factor, line(x, y).exposure.factor, rtol=1e-6
    )
    assert torch.allclose(smoothed(torch.ones_like(x), 5.0), torch.ones_like(x))
