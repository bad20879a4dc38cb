"""Conformal factors: overconfident deviations are scaled by what they lack, and the new intervals
hold what they say.
"""

import pytest
import torch

from unfog.errors import InputError
from unfog.evaluation.conformal import conformal_scale, student_scale

G = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 3.0])
def test_an_overconfident_gaussian_is_scaled_by_the_known_factor(overconfidence):
    """Errors of deviation s, said to be s / overconfidence; within 4 standard errors of a quantile,
    4 sqrt(.09 / n) / (2 phi(z) z).
    """
    s = torch.rand(20000, generator=G).double() + 0.5
    error = s * torch.randn(20000, generator=G).double()
    assert conformal_scale(error, s / overconfidence) == pytest.approx(overconfidence, rel=0.025)


def test_new_values_are_covered():
    """The finite-sample promise, whatever the law: on average over calibrations of 19 values new
    ones are covered by 90 % exactly.
    """
    error = torch.randn(4000, 20, generator=G).double().exp()  # skew, and not normal
    z = float(torch.special.ndtri(torch.tensor(0.95)))
    inside = [
        float(row[19] <= z * conformal_scale(row[:19], torch.ones(19))) for row in error[:2000]
    ]
    assert sum(inside) / 2000 == pytest.approx(0.9, abs=4 * (0.09 / 2000) ** 0.5)


def test_too_few_values_are_refused():
    with pytest.raises(InputError, match="more than 8"):
        conformal_scale(torch.zeros(8), torch.ones(8))
    with pytest.raises(InputError, match="finite"):
        conformal_scale(torch.full((20,), torch.nan), torch.ones(20))
    with pytest.raises(InputError, match="between 0 and 1"):
        conformal_scale(torch.zeros(8), torch.ones(8), 1.0)


@pytest.mark.parametrize("draws", [5, 8, 30])
def test_students_factor_covers_one_more_draw(draws):
    """The mean and the deviation of K normal draws, and a factor known from no data: 90 % of the
    next ones.
    """
    x = torch.randn(40000, draws + 1, generator=G).double()
    z = float(torch.special.ndtri(torch.tensor(0.95)))
    half = student_scale(draws) * z * x[:, :-1].std(1)
    inside = (x[:, -1] - x[:, :-1].mean(1)).abs() <= half
    assert float(inside.double().mean()) == pytest.approx(0.9, abs=4 * (0.09 / 40000) ** 0.5)


def test_students_factor_is_students():
    assert student_scale(8) == pytest.approx(
        1.8946 * (9 / 8) ** 0.5 / 1.6449, rel=1e-3
    )  # t_7 at .95, from a table
    with pytest.raises(InputError, match="at least 2"):
        student_scale(1)
