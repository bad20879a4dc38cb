"""Distances against closed forms and sums done by hand."""

import math

import pytest
import torch

from unfog.core.random import generator
from unfog.errors import InputError
from unfog.evaluation.distances import (
    compare,
    frechet_distance,
    frechet_distance_of_moments,
    kid,
    moments,
    polynomial_mmd,
)


def draw(n: int, d: int, name: str) -> torch.Tensor:
    return torch.randn(n, d, generator=generator(0, name), dtype=torch.float64)


def test_frechet_of_commuting_gaussians_is_the_closed_form() -> None:
    mean_a, mean_b = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([0.0, 2.0, 2.0])
    std_a, std_b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 0.0, 0.5])
    q = torch.linalg.qr(draw(3, 3, "q")).Q
    covs = [q @ torch.diag(s.double() ** 2) @ q.T for s in (std_a, std_b)]
    found = frechet_distance_of_moments(mean_a, covs[0], mean_b, covs[1])
    assert found == pytest.approx(5 + float(((std_a - std_b) ** 2).sum()), rel=1e-12)


def test_frechet_of_gaussians_in_two_dimensions_is_the_closed_form() -> None:
    # For 2x2 matrices tr M^{1/2} = sqrt(tr M + 2 sqrt(det M)).
    a = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, -0.7], [-0.7, 3.0]], dtype=torch.float64)
    product = a @ b
    root = math.sqrt(float(product.trace()) + 2 * math.sqrt(float(product.det())))
    zero = torch.zeros(2)
    assert frechet_distance_of_moments(zero, a, zero, b) == pytest.approx(7 - 2 * root, rel=1e-12)


def test_frechet_of_a_set_with_itself_is_zero_even_where_singular() -> None:
    x = draw(8, 20, "few")
    assert frechet_distance(x, x) < 1e-10


def test_frechet_of_a_shift_is_its_square() -> None:
    x = draw(200, 5, "x")
    assert frechet_distance(x.float(), x.float() + 2) == pytest.approx(20, rel=1e-5)


def test_moments_are_the_sample_moments() -> None:
    x = draw(30, 4, "m")
    mean, cov = moments(x)
    torch.testing.assert_close(mean, x.mean(0))
    torch.testing.assert_close(cov, torch.cov(x.T))


def test_features_in_float32_lose_no_digits_of_the_distance() -> None:
    a, b = (draw(3000, 40, name).float() @ draw(40, 40, "mix").float() + 5 for name in "ab")
    exact = frechet_distance(a.double(), b.double())
    assert frechet_distance(a, b) == pytest.approx(exact, rel=1e-6)


def test_mmd_by_hand() -> None:
    # d = 1: k(x, y) = (xy + 1)^3. Within x: k(0, 1) = 1; within y: k(1, 2) = 27; across: k = 1, 1,
    # 8, 27, mean 37/4.
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
    assert float(polynomial_mmd(x, y)) == pytest.approx(1 + 27 - 2 * 37 / 4)
    found = kid(x, y)
    assert (found.value, found.blocks) == (pytest.approx(9.5), 1)
    assert math.isnan(found.error)


def test_kid_is_unbiased_and_its_error_is_honest() -> None:
    trials = [kid(draw(400, 6, f"a{i}"), draw(400, 6, f"b{i}"), block=50) for i in range(200)]
    values = torch.tensor([t.value for t in trials])
    spread = float(values.std())
    assert abs(float(values.mean())) < 3 * spread / math.sqrt(len(trials))
    assert float(torch.tensor([t.error for t in trials]).mean()) == pytest.approx(spread, rel=0.3)


def test_kid_sees_a_shift() -> None:
    found = kid(draw(1000, 6, "a"), draw(1000, 6, "b") + 1, block=100)
    assert found.blocks == 10
    assert found.value > 10 * found.error


def test_a_comparison_carries_n_and_the_floor() -> None:
    found = compare(draw(300, 4, "g") * 2, draw(500, 4, "r"), draw(300, 4, "o"))
    assert (found.n, found.n_reference) == (300, 500)
    assert found.frechet == pytest.approx(4, rel=0.2)
    assert 0 < found.frechet_floor < 0.1
    assert abs(found.kid_floor.value) < found.kid.value


@pytest.mark.parametrize("shape", [(5,), (1, 5)])
def test_features_must_be_a_set(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="n of 2 or more"):
        frechet_distance(torch.zeros(shape), torch.zeros(shape))


def test_unequal_widths_and_counts_are_refused() -> None:
    with pytest.raises(InputError, match="one width"):
        kid(draw(4, 2, "a"), draw(4, 3, "b"))
    with pytest.raises(InputError, match="one d"):
        frechet_distance(draw(4, 2, "a"), draw(4, 3, "b"))
    with pytest.raises(InputError, match="as many real"):
        compare(draw(4, 2, "a"), draw(4, 2, "b"), draw(5, 2, "c"))
