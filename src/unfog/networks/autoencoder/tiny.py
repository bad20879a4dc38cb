"""The tiny autoencoder of pictures whose weights others trained: TAESD and its kin (Bohan 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH, GROUPS = 64, 4
SQUASH = 3.0  # latents beyond it are squashed on their way into the decoder


class _Block(nn.Module):
    """relu(x + conv(relu(conv(relu(conv(x)))))), after x + w relu(norm(w' x)) where it is pooled;
    the names are those of the weights.
    """

    def __init__(self, pooled: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _convolution(), nn.ReLU(), _convolution(), nn.ReLU(), _convolution()
        )
        self.pool = (
            nn.Sequential(
                nn.Conv2d(WIDTH, 4 * WIDTH, 1, bias=False),
                nn.GroupNorm(GROUPS, 4 * WIDTH),
                nn.ReLU(),
                nn.Conv2d(4 * WIDTH, WIDTH, 1, bias=False),
            )
            if pooled
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class _Squash(nn.Module):
    """3 tanh(z / 3)."""

    def forward(self, z: Tensor) -> Tensor:
        return SQUASH * (z / SQUASH).tanh()


def _convolution(channels: int = WIDTH, out: int = WIDTH, **options: object) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1, **options)  # type: ignore[arg-type]


def tiny_encoder(latent_channels: int, pooled: bool) -> nn.Sequential:
    """Pictures (batch, 3, height, width) in [0, 1] to latents (batch, latent_channels, height / 8,
    width / 8); ``pooled`` says whether the blocks next to the latents are.
    """
    steps: list[nn.Module] = [_convolution(3), _Block()]
    for level in range(3):
        steps.append(_convolution(stride=2, bias=False))
        steps += [_Block(pooled and level == 2) for _ in range(3)]
    return nn.Sequential(*steps, _convolution(out=latent_channels))


def tiny_decoder(latent_channels: int, pooled: bool) -> nn.Sequential:
    """Latents back to pictures, the mirror image with nearest-neighbour upsampling."""
    steps: list[nn.Module] = [_Squash(), _convolution(latent_channels), nn.ReLU()]
    for level in range(3):
        steps += [_Block(pooled and level == 0) for _ in range(3)]
        steps += [nn.Upsample(scale_factor=2), _convolution(bias=False)]
    return nn.Sequential(*steps, _Block(), _convolution(out=3))
