"""Imagen's efficient U-Net: halvings ahead of the blocks, scaled skips, blocks by level."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unfog.errors import InputError
from unfog.interop.diffusers_names import diffusers_config
from unfog.networks import UNet
from unfog.networks.layers.blocks import ResidualBlock

SMALL: dict[str, Any] = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "groups": 4}


def randomised(network: UNet) -> UNet:
    """The network with every tensor drawn anew, since it starts as the zero function."""
    generator = torch.Generator().manual_seed(0)
    for p in network.parameters():
        scale = max(p[0].numel(), 1) ** -0.5 if p.ndim > 1 else 0.5
        nn.init.normal_(p, std=scale, generator=generator)
    return network.eval()


def test_the_efficient_unet_puts_its_blocks_low_down() -> None:
    """More blocks at lower levels, none on the grid of x, and what each option changes."""
    sizes = {"blocks": (1, 3), "halvings": 1, "skip_scale": 2**-0.5}
    unet = randomised(UNet(3, 3, **{**SMALL, **sizes}))
    x, label = torch.randn(2, 3, 10, 12), torch.tensor([3.0, 500.0])
    seen: list[tuple[int, ...]] = []
    for module in unet.modules():
        if isinstance(module, ResidualBlock):
            module.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[2:])))
    out = unet(x, label)
    assert out.shape == x.shape
    # Down 1 and 3, two at the bottom, up 4 and 2; the top level at half the size.
    assert seen == [(5, 6)] + [(3, 3)] * (3 + 2 + 4) + [(5, 6)] * 2
    assert [tuple(m.shape[2:]) for m in unet.features(x, label)] == [(5, 6), (3, 3), (3, 3)]
    # The finest detail passes by the blocks: a change of one pixel stays in place.
    turned = x.clone()
    turned[0, 0, 4, 4] += 1
    moved = (unet(turned, label) - out)[0].abs().sum(0)
    assert moved[3:6, 3:6].max() > 3 * moved.median()


def test_skips_are_scaled() -> None:
    """With skips of scale 0 nothing passes by the bottom; in between the scale is a factor."""
    x, label = torch.randn(1, 3, 8, 8), torch.tensor([3.0])
    scaled = randomised(UNet(3, 3, **SMALL, skip_scale=0.5))
    plain = randomised(UNet(3, 3, **SMALL))
    taken: dict[bool, list[Tensor]] = {False: [], True: []}
    for unet in (plain, scaled):
        first = unet.up[0].stages[0]
        first.register_forward_pre_hook(
            lambda _, given, key=unet is scaled: taken[key].append(given[0])
        )
        unet(x, label)
    whole, half = taken[False][0], taken[True][0]
    width = whole.shape[1] // 2
    torch.testing.assert_close(half[:, :width], whole[:, :width])
    torch.testing.assert_close(half[:, width:], 0.5 * whole[:, width:])


def test_a_scaled_unet_is_refused_by_diffusers_format() -> None:
    for options in ({"skip_scale": 0.5}, {"halvings": 1}, {"blocks": (1, 2)}):
        with pytest.raises(InputError, match="cannot be written"):
            diffusers_config(UNet(3, 3, **{**SMALL, **options}))
