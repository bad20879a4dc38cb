"""DiffWave BASE in plain PyTorch (Kong et al. 2021), beside whose time a vocoder's is told; its
weights are as drawn.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu, silu

CHANNELS, LAYERS, CYCLE, BANDS = 64, 30, 10, 80
TABLE = torch.linspace(1e-4, 0.05, 50, dtype=torch.float64)
FAST = torch.tensor([1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5], dtype=torch.float64)


class Block(nn.Module):
    """A residual layer with a gate."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        wide = 2 * CHANNELS
        self.conv = nn.Conv1d(CHANNELS, wide, 3, padding=dilation, dilation=dilation)
        self.step = nn.Linear(512, CHANNELS)
        self.mel = nn.Conv1d(BANDS, wide, 1)
        self.out = nn.Conv1d(CHANNELS, wide, 1)

    def forward(self, x: Tensor, step: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x + self.step(step)[..., None]) + self.mel(mel)
        gate, value = y.chunk(2, 1)
        rest, skip = self.out(torch.sigmoid(gate) * torch.tanh(value)).chunk(2, 1)
        return (x + rest) / math.sqrt(2), skip


class PlainDiffWave(nn.Module):
    """The network, with the upsampling of its spectrogram."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, CHANNELS, 1)
        self.steps = nn.Sequential(nn.Linear(128, 512), nn.SiLU(), nn.Linear(512, 512))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(1, 1, (3, 32), stride=(1, 16), padding=(1, 8)) for _ in range(2)
        )
        self.blocks = nn.ModuleList(Block(2 ** (k % CYCLE)) for k in range(LAYERS))
        self.skip, self.leave = nn.Conv1d(CHANNELS, CHANNELS, 1), nn.Conv1d(CHANNELS, 1, 1)

    def forward(self, x: Tensor, n: Tensor, mel: Tensor) -> Tensor:
        angle = n[:, None] * 10.0 ** (torch.arange(64) * 4.0 / 63.0)
        step = silu(self.steps(torch.cat([angle.sin(), angle.cos()], 1)))
        m = mel[:, None]
        for up in self.up:
            m = leaky_relu(up(m), 0.4)
        h, total = relu(self.enter(x)), torch.zeros(())
        for block in self.blocks:
            h, skip = block(h, step, m[:, 0])
            total = total + skip
        out: Tensor = self.leave(relu(self.skip(total / math.sqrt(LAYERS))))
        return out


def aligned(fast: Tensor = FAST) -> list[float]:
    """The step of the table at which a faster schedule has its noise, between two of them."""
    slow, few = (torch.cumprod(1 - beta, 0).sqrt() for beta in (TABLE, fast))
    found = []
    for level in few:
        after = int((slow > level).sum())  # the first of the table that is as noisy
        before = max(0, min(after - 1, len(slow) - 2))
        share = (slow[before] - level) / (slow[before] - slow[before + 1])
        found.append(before + float(share.clamp(0, 1)))
    return found


@torch.no_grad()
def vocoded(network: PlainDiffWave, mel: Tensor, samples: int) -> Tensor:
    """Sounds (batch, 1, samples) of spectrograms (batch, bands, frames), in 6 steps."""
    x = torch.randn(len(mel), 1, samples)
    power, steps = torch.cumprod(1 - FAST, 0), aligned()
    for k in range(len(FAST) - 1, -1, -1):
        n = torch.full((len(mel),), steps[k])
        noise = network(x, n, mel)
        x = (x - FAST[k] / (1 - power[k]).sqrt() * noise) / (1 - FAST[k]).sqrt()
        if k:
            deviation = ((1 - power[k - 1]) / (1 - power[k]) * FAST[k]).sqrt()
            x = x + deviation * torch.randn_like(x)
    return x
