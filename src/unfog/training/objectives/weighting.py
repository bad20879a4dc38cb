"""A learned weight for every noise level of the denoising loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.random import generator
from unfog.errors import InputError
from unfog.training.objectives.losses import Example, Loss

# sigma / alpha is clamped to these, since it may be 0 or infinite
CLEANEST, NOISIEST = (1e-5, 1e5)


class LogVariance(nn.Module):
    """EDM2's head u(sigma / alpha), the log-variance of the loss at a noise level: a linear layer,
    initially 0, on ``channels`` random Fourier features (Tancik et al. 2020) of c_noise =
    ln(sigma / alpha) / 4.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, channels: int = 128) -> None:
        super().__init__()
        if channels < 1:
            raise InputError(f"The learned weight needs at least one channel, got {channels}.")
        draw = generator("log-variance")
        self.register_buffer("frequencies", 2 * math.pi * torch.randn(channels, generator=draw))
        self.register_buffer("phases", 2 * math.pi * torch.rand(channels, generator=draw))
        self.linear = nn.Linear(channels, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, level: Tensor) -> Tensor:
        """``level`` (batch,), sigma / alpha, to u (batch,)."""
        # sqrt(2) cos(f c_noise + phase): EDM2's magnitude-preserving features.
        c = 0.25 * level.clamp(CLEANEST, NOISIEST).log().to(self.frequencies)
        features = math.sqrt(2) * torch.cos(c[:, None] * self.frequencies + self.phases)
        with torch.autocast(features.device.type, enabled=False):
            u: Tensor = self.linear(features)[:, 0] / math.sqrt(len(self.frequencies))
        return u


class LearnedWeight(nn.Module):
    """Another loss with EDM2's learned weight (Karras et al. 2024; after Kendall et al. 2018).

        loss' = loss / exp(u) + u,      u = head(ln(sigma / alpha)).

    At its minimum exp(u) is the mean of the loss at that noise level, so that all levels contribute
    equally to the gradient, however large their loss. The head is trained with the network and left
    out of the trained model.
    """

    def __init__(self, loss: Loss, channels: int = 128) -> None:
        super().__init__()
        self.loss, self.head = loss, LogVariance(channels)

    def forward(self, denoiser: NetworkDenoiser, example: Example, out: Tensor) -> Tensor:
        losses = self.loss(denoiser, example, out)
        u = self.head(denoiser.process.noise_level(example.t)).to(losses)
        weighted: Tensor = losses * torch.exp(-u) + u
        return weighted
