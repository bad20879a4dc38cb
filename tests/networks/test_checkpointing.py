"""Gradient checkpointing changes nothing but the memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unfog.networks import networks

NETWORKS: list[dict[str, Any]] = [
    {
        "name": "unet",
        "channels": 8,
        "multipliers": [1, 2],
        "blocks": 1,
        "groups": 4,
        "dropout": 0.3,
    },
    {"name": "dit", "depth": 3, "width": 24, "heads": 2},
]


def outcome(config: dict[str, Any], checkpointing: bool) -> tuple[list[torch.Tensor], int]:
    """Gradients in the weights and twice in x, and the bytes kept for the backward pass."""
    torch.manual_seed(0)
    network = networks.build(
        {**config, "checkpointing": checkpointing}, in_channels=1, out_channels=1
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x, kept = torch.randn(2, 1, 16, 16).requires_grad_(), 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = network(x, torch.tensor([3.0, 400.0]))
    count = kept
    probes = [torch.autograd.grad(out, x, out * k, retain_graph=True)[0] for k in (1, 2)]
    out.square().sum().backward()
    return [out, *probes, *(p.grad for p in network.parameters() if p.grad is not None)], count


@pytest.mark.parametrize("config", NETWORKS, ids=lambda config: config["name"])
def test_the_same_gradients_from_less_memory(config: dict[str, Any]) -> None:
    (plain, much), (again, little) = (outcome(config, on) for on in (False, True))
    assert len(plain) == len(again) > 10
    for a, b in zip(plain, again, strict=True):
        torch.testing.assert_close(a, b)
    assert plain[0].std() > 0
    assert little < 0.6 * much
