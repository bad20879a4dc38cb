"""The contrastive loss against its closed form, and what a small joint encoder learns by it."""

from __future__ import annotations

import math

import pytest
import torch

from unfog.errors import InputError
from unfog.networks.joint_encoder import JointEncoder
from unfog.training.objectives.contrastive import Contrastive, symmetric_loss


def small(**options: int) -> JointEncoder:
    torch.manual_seed(0)
    sizes = {"embedding": 16, "channels": 8, "width": 16, "heads": 2, "length": 6, "groups": 4}
    return JointEncoder(3, 5, **{**sizes, **options}, multipliers=(1, 2))


def test_two_pairs_have_the_loss_of_their_differences() -> None:
    """For [[a, b], [c, d]] the loss of the first pair is the mean of two logistic losses."""
    a, b, c, d = 1.3, -0.4, 0.7, 2.1
    expected = [
        (math.log1p(math.exp(b - a)) + math.log1p(math.exp(c - a))) / 2,
        (math.log1p(math.exp(c - d)) + math.log1p(math.exp(b - d))) / 2,
    ]
    found = symmetric_loss(torch.tensor([[a, b], [c, d]], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_the_gradient_of_the_temperature() -> None:
    """With cosines c and scale s the derivative of the loss in ln s is s times the mean cosine by
    softmax, of rows and of columns, less the pair's own.
    """
    g = torch.Generator().manual_seed(0)
    cosines = torch.rand(4, 4, generator=g, dtype=torch.float64) * 2 - 1
    log_scale = torch.tensor(1.2, dtype=torch.float64, requires_grad=True)
    symmetric_loss(log_scale.exp() * cosines).mean().backward()
    s = math.exp(1.2)
    rows = ((s * cosines).softmax(1) * cosines).sum(1)
    columns = ((s * cosines).softmax(0) * cosines).sum(0)
    expected = s * ((rows + columns) / 2 - cosines.diagonal()).mean()
    assert log_scale.grad is not None
    torch.testing.assert_close(log_scale.grad, expected)


def test_the_scale_ends_at_100_and_has_no_gradient_beyond() -> None:
    encoder = small()
    assert float(encoder.scale.detach()) == pytest.approx(1 / 0.07, rel=1e-5)
    with torch.no_grad():
        encoder.log_scale.fill_(5.0)
    assert float(encoder.scale.detach()) == pytest.approx(100.0, rel=1e-5)
    encoder.scale.backward()
    assert encoder.log_scale.grad is not None
    assert float(encoder.log_scale.grad) == 0


@torch.no_grad()
def test_vectors_are_of_unit_length_and_hidden_tokens_change_nothing() -> None:
    encoder = small(depth=2)
    x, tokens = torch.randn(3, 3, 8, 8), torch.randn(3, 6, 5)
    mask = (torch.arange(6) < torch.tensor([[2], [4], [6]])).float()
    text, image = encoder.text(tokens, mask), encoder.image(x)
    for vectors in (text, image):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    other = torch.where(mask[..., None] > 0, tokens, torch.randn(3, 6, 5))
    torch.testing.assert_close(encoder.text(other, mask), text)
    torch.testing.assert_close(encoder.text(tokens[:, :4], mask[:, :4])[:2], text[:2])
    torch.testing.assert_close(encoder(x, tokens, mask), encoder.scale * image @ text.T)


def test_what_does_not_fit_is_refused() -> None:
    encoder = small()
    with pytest.raises(InputError, match="multiples of 2"):
        encoder.image(torch.randn(1, 3, 7, 8))
    with pytest.raises(InputError, match="up to 6 tokens"):
        encoder.text(torch.randn(1, 7, 5))
    with pytest.raises(InputError, match="3 heads"):
        small(heads=3)
    with pytest.raises(InputError, match="no condition 'text'"):
        Contrastive()(encoder, {"x": torch.zeros(1, 3, 8, 8)}, [0], 0, 1)
