"""Bands: what ``Tiled`` gives of a whole picture, from its top to its bottom."""

from __future__ import annotations

import pytest
import torch

from unfog.core.bands import Bands
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM
from unfog.core.tiles import Tiled, shifted

PROCESS = EDM(10.0)


class Neighbours(Denoiser):
    process = PROCESS

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, **told: torch.Tensor) -> Posterior:
        kernel = torch.arange(9.0).view(1, 1, 3, 3).expand(2, 1, 3, 3) / 30
        blurred = torch.nn.functional.conv2d(x_t, kernel, padding=1, groups=2)
        return Posterior(
            blurred * (1 + t.float().view(-1, 1, 1, 1))
            + told["low"]
            + told["level"].view(-1, 1, 1, 1)
        )


@pytest.mark.parametrize("size", [(40, 53), (16, 16), (31, 8)])
@pytest.mark.parametrize("overlap", [3, 8])
def test_bands_are_the_whole_in_tiles(size: tuple[int, int], overlap: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, low = (torch.randn(2, *size, generator=generator) for _ in range(2))
    level = torch.tensor([0.5])
    for t in torch.tensor([0.05, 0.4, 0.83], dtype=torch.float64):
        whole = Tiled(Neighbours(), 16, overlap, maps=["low"], cover=shifted)
        expected = whole(x[None], t, low=low[None], level=level).mean[0]
        parts = list(
            Bands(
                Neighbours(),
                16,
                overlap,
                maps={"low": lambda rows, columns: low[:, rows, columns]},
                condition={"level": level},
                batch=3,
            )(lambda rows, columns: x[:, rows, columns], size, t)
        )
        assert [rows.start for rows, _ in parts] == [0, *(rows.stop for rows, _ in parts[:-1])]
        assert torch.allclose(torch.cat([part for _, part in parts], 1), expected, atol=1e-5)
