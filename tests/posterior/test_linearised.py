"""Measurements that are not linear, by linear methods: exact where they are, and at the mode of
the posterior where they are not.
"""

from __future__ import annotations

import pytest
import torch

from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.errors import InputError
from unfog.physics.linear import Operator
from unfog.posterior.linearised import Jacobian, Linearised
from unfog.posterior.methods import posterior_denoiser
from unfog.posterior.mmps import MMPS
from unfog.posterior.tmpd import TMPD

SIGMA = 0.3


class Product(Operator):
    """A matrix."""

    def __init__(self, matrix):
        self.matrix = matrix

    def __call__(self, x):
        return x @ self.matrix.T

    def adjoint(self, y):
        return y @ self.matrix


def _bend(x):
    """A measurement of pairs that is far from linear."""
    first, second = x[:, :1], x[:, 1:]
    return torch.cat([first * second, first.sin() + second**2], 1)


def _prior():
    covariance = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)
    return gaussian_denoiser(EDM(), torch.tensor([0.7, -0.4], dtype=torch.float64), covariance)


def _states(count=5):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 2, generator=generator, dtype=torch.float64)


def test_the_jacobian_goes_both_ways():
    x, v = _states(), _states() + 1
    jacobian = Jacobian(_bend, x)
    torch.testing.assert_close(jacobian.value, _bend(x))
    wanted = torch.func.jvp(_bend, (x,), (v,))[1]
    torch.testing.assert_close(jacobian(v), wanted)
    w = _states() - 0.5
    torch.testing.assert_close((jacobian(v) * w).sum(1), (v * jacobian.adjoint(w)).sum(1))


@pytest.mark.parametrize("method", [MMPS, TMPD])
def test_a_linear_measurement_is_not_changed_by_linearising_it(method):
    matrix = torch.tensor([[0.9, -0.3], [0.2, 1.4]], dtype=torch.float64)
    x_t, y, t = _states(), _states() - 1, torch.tensor(0.02, dtype=torch.float64)
    exact = method(_prior(), Product(matrix), y, SIGMA)(x_t, t).mean
    bent = Linearised(_prior(), lambda x: x @ matrix.T + 2, y + 2, SIGMA, method)(x_t, t).mean
    torch.testing.assert_close(bent, exact)


def test_gauss_newton_finds_the_most_likely_state():
    prior, x_t, t = _prior(), _states(), torch.tensor(0.01, dtype=torch.float64)
    mean, covariance = prior.with_covariance(x_t, t)
    inverse = torch.linalg.inv(
        torch.stack(
            [covariance(torch.eye(2, dtype=torch.float64)[k].expand(5, 2)) for k in (0, 1)], 1
        )
    )
    y = _bend(mean) + 0.2

    def energy(x):
        gap = x - mean
        return (_bend(x) - y).square().sum(1) / SIGMA**2 + torch.einsum(
            "bi,bij,bj->b", gap, inverse, gap
        )

    # By descent, from the prior's mean.
    best = mean.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [best],
        max_iter=500,
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimiser.zero_grad()
        loss = energy(best).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    method = lambda *parts: MMPS(*parts, tolerance=1e-9)  # noqa: E731
    found = [Linearised(prior, _bend, y, SIGMA, method, n)(x_t, t).mean for n in (1, 40)]
    once, often = ((f - best).detach().norm(dim=1).max() for f in found)
    assert often < 1e-5 < 1e-3 < once


def test_methods_that_need_more_than_a_jacobian_are_refused():
    y = _states()
    for name in ("ddrm", "ddnm", "pigdm", "diffpir"):
        with pytest.raises(InputError, match="more of a measurement than its Jacobian"):
            posterior_denoiser(_prior(), _bend, y, SIGMA, name)
    with pytest.raises(InputError, match="did you mean 'mmps'"):
        posterior_denoiser(_prior(), _bend, y, SIGMA, "mmp")
    for name in ("auto", "mmps", "tmpd", "dps"):
        denoiser = posterior_denoiser(_prior(), _bend, y, SIGMA, name)
        out = denoiser(y, torch.tensor(0.02, dtype=torch.float64)).mean
        assert (out - _prior()(y, torch.tensor(0.02, dtype=torch.float64)).mean).norm() > 1e-3
