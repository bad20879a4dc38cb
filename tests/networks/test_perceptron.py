"""The perceptron of vectors."""

from __future__ import annotations

import pytest
import torch

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks import Perceptron


def test_it_is_zero_at_first_and_then_depends_on_all_it_is_told():
    network = Perceptron(2, 3, width=16, depth=2, vector_width=16)
    x, label = torch.randn(5, 2), torch.rand(5)
    told = Context(vector=torch.randn(5, 16))
    assert torch.equal(network(x, label, told), torch.zeros(5, 3))
    torch.nn.init.normal_(network.leave.weight)
    out = network(x, label, told)
    for other in (
        network(x + 1, label, told),
        network(x, label + 1, told),
        network(x, label, Context(vector=torch.randn(5, 16))),
    ):
        assert float((other - out).detach().abs().min()) > 0
    # Rows of a batch have nothing to do with one another.
    alone = network(x[2:3], label[2:3], Context(vector=told.vector[2:3]))
    torch.testing.assert_close(alone, out[2:3])


@pytest.mark.parametrize("options", [{"dims": 2}, {"width": 0}, {"spatial_channels": 1}])
def test_what_it_cannot_be_is_refused(options):
    with pytest.raises(InputError):
        Perceptron(2, 2, **options)
