"""Attention against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from unfog.networks.layers.attention import attend
from unfog.networks.layers.patches import positions, shuffle, unshuffle


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_attend_is_scaled_dot_product_attention(heads: int, masked: bool) -> None:
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 6, n, generator=g, dtype=torch.float64) for n in (5, 4, 4))
    mask = (
        torch.tensor([[True, False, True, True], [False, True, False, False]]) if masked else None
    )
    split = [p.view(2, heads, 6 // heads, -1).transpose(2, 3) for p in (q, k, v)]
    expected = scaled_dot_product_attention(
        *split, attn_mask=None if mask is None else mask[:, None, None]
    )
    torch.testing.assert_close(
        attend(q, k, v, heads, mask),
        expected.transpose(2, 3).reshape(2, 6, 5),
        rtol=1e-12,
        atol=1e-12,
    )


def test_unshuffle_is_torchs_in_two_dimensions_and_shuffle_undoes_it_in_all() -> None:
    for space in ((6,), (6, 9), (6, 3, 9)):
        x = torch.randn(2, 4, *space)
        assert torch.equal(shuffle(unshuffle(x, 3), 3), x)
        if len(space) == 2:
            assert torch.equal(unshuffle(x, 3), torch.nn.functional.pixel_unshuffle(x, 3))


def test_positions_run_from_minus_one_to_one_along_their_axis() -> None:
    lines = positions((3, 5), torch.zeros(1))
    assert lines.shape == (2, 3, 5)
    assert torch.equal(lines[0, :, 2], torch.tensor([-1.0, 0.0, 1.0]))
    assert torch.equal(lines[1, 0], torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]))


def test_positions_have_sines_and_cosines_for_each_octave() -> None:
    waves = positions((5,), torch.zeros(1), octaves=2)
    line = torch.linspace(-1, 1, 5)
    expected = [line, *(f(torch.pi * k * line) for k in (1, 2) for f in (torch.sin, torch.cos))]
    assert torch.equal(waves, torch.stack(expected))
