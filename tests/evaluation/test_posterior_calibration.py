"""Calibration of posterior samplers: against the closed form of a Gaussian's posterior."""

import math

import pytest
import torch

from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.core.random import generator
from unfog.errors import InputError
from unfog.evaluation.posterior_calibration import Drawn, calibration
from unfog.evaluation.ranks import coverage_curve, ranks, smallest, uniformity
from unfog.evaluation.stein import discrepancy, posterior_score, stein_kernel
from unfog.physics.operators import BlockAverage

D, N, L, SIGMA, SMOOTH = 8, 200, 19, 0.5, 0.05


def noise(*shape: int, name: str) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(0, name), dtype=torch.float64)


def exact(width: float = 1.0, shift: float = 0.0, n: int = N, seed: str = "") -> tuple:
    """Draws of a Gaussian's posterior given block means, ``width`` times as wide and shifted by so
    many deviations; and the prior's denoiser.
    """
    root = noise(D, D, name="root") / D**0.5 + 0.5 * torch.eye(D, dtype=torch.float64)
    covariance, mean = root @ root.T, torch.linspace(-1, 1, D, dtype=torch.float64)
    prior, operator = gaussian_denoiser(EDM(80.0), mean, covariance), BlockAverage(2)
    truth = prior.draw(n, generator(0, "truth" + seed))[:, None]
    y = operator(truth)
    y = y + SIGMA * noise(*y.shape, name="y" + seed)
    a = operator(torch.eye(D, dtype=torch.float64)[:, None])[:, 0].T
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + SIGMA**2 * torch.eye(len(a)))
    centre = mean + (y[:, 0] - a @ mean) @ gain.T
    factor = torch.linalg.cholesky(covariance - gain @ a @ covariance)
    z = width * noise(n, L, D, name="z" + seed) + shift
    draws = centre[:, None] + z @ factor.T
    return Drawn(truth, draws[:, :, None], operator, y), prior


def judged(width: float = 1.0, shift: float = 0.0):
    drawn, prior = exact(width, shift)
    score = posterior_score(prior, drawn.operator, drawn.y, SIGMA, SMOOTH)
    return calibration(drawn, score, SMOOTH)


def test_the_exact_posterior_is_calibrated() -> None:
    found = judged()
    assert found.p > 0.05
    for level, covered in zip(found.curve.levels, found.curve.covered, strict=True):
        assert covered.value == pytest.approx(level, abs=4 * covered.error)
    assert found.error.value == pytest.approx(1, abs=3 * found.error.error)
    low, high = found.stein.draws.interval
    assert low < 0 < high
    low, high = found.stein.truths.interval
    assert low < 0 < high
    assert found.plain()["ranks uniform"] is True


@pytest.mark.parametrize("width", [0.7, 1.4])
def test_a_posterior_of_wrong_width_is_told(width) -> None:
    found = judged(width)
    assert found.p < 1e-3
    at, covered = found.curve.nearest(0.9)
    expected = math.erf(width * 1.6448536 / math.sqrt(2))
    assert at == pytest.approx(0.9)
    assert covered.value == pytest.approx(expected, abs=0.05)
    assert found.error.value == pytest.approx(
        math.sqrt((1 + width**2 / L) / width**2 / (1 + 1 / L)), rel=0.05
    )
    assert found.stein.draws.interval[0] > 0


def test_a_shifted_posterior_is_told_by_ranks_and_by_stein() -> None:
    found = judged(shift=0.7)
    assert found.p < 1e-6
    assert found.stein.draws.interval[0] > 0
    low, high = found.stein.truths.interval
    assert low < 0 < high  # the truths are of the posterior all the same


def test_p_values_of_exact_ranks_are_uniform() -> None:
    g = generator(0, "p")
    p = torch.tensor([uniformity(torch.randint(20, (200,), generator=g), 19).p for _ in range(400)])
    assert float((p < 0.05).double().mean()) == pytest.approx(0.05, abs=0.03)
    assert float(p.mean()) == pytest.approx(0.5, abs=0.06)


def test_the_test_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    rank = torch.randint(10, (97,), generator=generator(0, "r"))
    found, expected = uniformity(rank, 9), stats.chisquare(torch.bincount(rank, minlength=10))
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_bins_of_unequal_width_expect_unequal_counts() -> None:
    rank = torch.arange(5).repeat(4)  # each of 5 ranks 4 times, in 4 bins of 2, 1, 1, 1
    found = uniformity(rank, 4)
    assert sorted(found.counts) == [4, 4, 4, 8]
    assert found.statistic == pytest.approx(0, abs=1e-12)


def test_ranks_by_hand_and_ties_at_random() -> None:
    draws = torch.tensor([[[1.0], [2.0], [3.0]]])
    assert ranks(torch.tensor([[2.5]]), draws, generator(0, "t")).item() == 2
    tied = torch.zeros(2000, 3, 1)
    found = ranks(tied[:, 0], tied, generator(0, "t"))[:, 0]
    assert uniformity(found, 3).p > 0.01
    assert smallest([0.02, 0.5]) == pytest.approx(0.04)


def test_a_curve_by_hand() -> None:
    # Of 3 draws only the interval of the middle two ranks is there, of level 1/2.
    curve = coverage_curve(torch.tensor([[0, 1], [2, 3]]), 3)
    assert curve.levels == (0.5,)
    assert curve.covered[0].value == 0.5


def test_stein_s_kernel_is_its_derivatives() -> None:
    x, c = noise(2, 3, name="x").requires_grad_(), 1.3
    s = noise(2, 3, name="s")

    def k(a, b):
        return (c**2 + ((a - b) ** 2).sum()) ** -0.5

    a, b = x[0].detach().requires_grad_(), x[1].detach().requires_grad_()
    (da,) = torch.autograd.grad(k(a, b), a, create_graph=True)
    (db,) = torch.autograd.grad(k(a, b), b, create_graph=True)
    trace = sum(torch.autograd.grad(da[i], b, retain_graph=True)[0][i] for i in range(3))
    expected = (s[0] @ s[1]) * k(a, b) + s[0] @ db + s[1] @ da + trace
    assert float(stein_kernel(x.detach(), s, c)[0, 1]) == pytest.approx(expected.item(), rel=1e-9)


def test_stein_s_discrepancy_is_zero_as_often_as_its_interval_says() -> None:
    held = 0
    for i in range(100):
        x, y = noise(30, 6, 3, name=f"x{i}"), noise(30, 3, name=f"y{i}")
        low, high = discrepancy(x, -x, y, -y).draws.interval
        held += low <= 0 <= high
    assert 87 <= held <= 99


def test_too_few_truths_and_draws_that_are_not_finite_are_refused() -> None:
    drawn, _ = exact(n=30)
    with pytest.raises(InputError, match="too few"):
        calibration(Drawn(drawn.truth[:10], drawn.draws[:10], drawn.operator, drawn.y[:10]))
    with pytest.raises(InputError, match="too few to test"):
        uniformity(torch.zeros(9, dtype=torch.long), 9)
    drawn.draws[3, 2] = math.nan
    with pytest.raises(InputError, match="not finite"):
        calibration(drawn)
