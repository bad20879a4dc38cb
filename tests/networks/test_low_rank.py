"""Changes of low rank against the products that they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unfog.errors import InputError
from unfog.networks.low_rank import LowRankNetwork


class Joint(nn.Module):
    """A network of two matrices: x joint^T out^T."""

    def __init__(self) -> None:
        super().__init__()
        self.joint, self.out = nn.Linear(3, 8, False), nn.Linear(8, 2, False)

    def forward(self, x: Tensor, label: Tensor, context: Any) -> Tensor:
        y: Tensor = self.out(self.joint(x))
        return y


def made(alpha: float = 3.0) -> tuple[Joint, LowRankNetwork]:
    torch.manual_seed(0)
    plain = Joint().requires_grad_(False)
    pieces = {"joint.weight": ["a.to_k", "a.to_v"]}
    return plain, LowRankNetwork(plain, pieces, 2, alpha, torch.Generator().manual_seed(1))


def test_it_begins_as_the_network_and_is_the_merged_one() -> None:
    plain, network = made()
    x, label = torch.randn(5, 3), torch.zeros(5)
    assert torch.equal(network(x, label, None), plain(x, label, None))
    for name in ("a_to_k", "a_to_v"):
        nn.init.normal_(network.up[name])
    # Keys are the first rows of the joint matrix, values the others.
    keys, values = (network.up[n] @ network.down[n] for n in ("a_to_k", "a_to_v"))
    joint = plain.joint.weight + 3 / 2 * torch.cat([keys, values])
    assert torch.allclose(network(x, label, None), x @ joint.T @ plain.out.weight.T, atol=1e-6)


def test_only_the_change_learns_and_is_kept() -> None:
    plain, network = made()
    before = plain.joint.weight.clone()
    x = torch.randn(5, 3)
    network(x, torch.zeros(5), None).square().sum().backward()
    # d loss / d up = scale (d loss / d W) down^T, down having no gradient while up is zero.
    y = x @ plain.joint.weight.T @ plain.out.weight.T
    outer = (2 * y @ plain.out.weight).T @ x
    wanted = 3 / 2 * outer[:4] @ network.down["a_to_k"].T
    assert torch.allclose(network.up["a_to_k"].grad, wanted, atol=1e-5)
    assert not network.down["a_to_k"].grad.any()
    assert torch.equal(plain.joint.weight, before)
    names = ["down.a_to_k", "down.a_to_v", "up.a_to_k", "up.a_to_v"]
    assert sorted(network.state_dict()) == sorted(dict(network.named_parameters())) == names
    down, up = network.named(network.state_dict())["a.to_v"]
    assert (down.shape, up.shape) == ((2, 3), (4, 2))


def test_the_network_goes_along() -> None:
    plain, network = made()
    assert network.double().frozen is plain
    assert plain.joint.weight.dtype == torch.float64


def test_a_rank_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="rank of 1 or more"):
        LowRankNetwork(Joint(), {"out.weight": ["out"]}, 0, 1.0, torch.Generator())
