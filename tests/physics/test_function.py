"""Any torch function as a measurement: exact adjoint, and what is not linear is refused."""

from __future__ import annotations

import pytest
import torch

from unfog.errors import InputError
from unfog.physics.function import FunctionOperator, as_operator, is_linear
from unfog.physics.linear import Adopted, adjoint_error
from unfog.physics.operators import BlockAverage

SHAPE = (2, 6, 8)
LINEAR = {
    "rows": lambda x: x[..., ::2, :],
    "means": lambda x: torch.nn.functional.avg_pool2d(x, 2),
    "spectrum": lambda x: torch.view_as_real(torch.fft.fft2(x)),
    "flat": lambda x: x.flatten(1) @ torch.linspace(-1, 1, 96 * 5).view(96, 5).to(x),
}


@pytest.mark.parametrize("name", LINEAR)
def test_the_adjoint_is_the_transpose(name):
    """Found by autograd, as a dense matrix and by the inner-product test."""
    operator = as_operator(LINEAR[name], SHAPE)
    assert adjoint_error(operator, (3, *SHAPE), torch.Generator().manual_seed(0)) < 1e-12
    axes = torch.eye(96, dtype=torch.float64).view(96, *SHAPE)
    matrix = operator(axes).flatten(1)  # rows: A e_k
    y = torch.randn(1, *operator(axes[:1]).shape[1:], dtype=torch.float64)
    assert torch.allclose(operator.adjoint(y).flatten(), matrix @ y.flatten(), atol=1e-12)


def test_it_solves_as_the_operator_it_stands_for():
    """The pseudo-inverse of block averages, which the class knows in closed form."""
    x = torch.randn(2, 1, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours, known = as_operator(LINEAR["means"], (1, 6, 8)), BlockAverage(2)
    y = known(x)
    assert torch.allclose(ours(x), y, atol=1e-14)
    assert torch.allclose(ours.pseudo_inverse(y), known.pseudo_inverse(y), atol=1e-6)


def test_operators_pass_and_those_of_deepinv_are_adopted():
    known = BlockAverage(2)
    assert as_operator(known, SHAPE) is known

    class Physics:
        """As deepinv has them."""

        def A(self, x):
            return 2 * x

        A_adjoint = A

        def A_dagger(self, y):
            return y / 2

    adopted = as_operator(Physics(), SHAPE)
    assert isinstance(adopted, Adopted)
    assert float(adopted(torch.ones(1, 1)).sum()) == 2


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x.square(), "not linear"),
        (lambda x: x + 1, "not linear"),
        (lambda x: x.clamp(min=0), "not linear"),
        (lambda x: torch.from_numpy(x.detach().numpy()), "no gradient"),
        (lambda x: x.view(7, 5), "fails on x of shape"),
        (lambda x: x.sum(), "one measurement an image"),
        (3.0, "not a float"),
    ],
)
def test_what_is_no_linear_function_is_refused_in_one_sentence(function, words):
    with pytest.raises(InputError, match=words) as error:
        as_operator(function, SHAPE)
    assert "\n" not in str(error.value)


def test_linearity_is_seen_in_float32():
    assert is_linear(LINEAR["spectrum"], SHAPE)
    assert not is_linear(lambda x: x + 0.01 * x.abs(), SHAPE)
    assert isinstance(as_operator(LINEAR["rows"], SHAPE), FunctionOperator)
