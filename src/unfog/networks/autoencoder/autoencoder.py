"""Autoencoders with a regularised latent space: of a Gaussian, or of a codebook."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unfog.core.random import Randomness, normal
from unfog.core.registry import Registry
from unfog.core.shapes import sum_per_sample
from unfog.errors import InputError
from unfog.networks.autoencoder.convolutional import Decoder, Encoder, Sizes
from unfog.networks.layers.blocks import convolution

autoencoders: Registry[Autoencoder] = Registry("autoencoder")


@dataclass(frozen=True)
class Coded:
    """What an autoencoder makes of x.

    Args:
        x: The reconstruction, (batch, channels, *space).
        penalty: What holds the latent space together, (batch,), a value of x: the mean over the
            values of x, so that it does not depend on their number.
    """

    x: Tensor
    penalty: Tensor


class Autoencoder(nn.Module):
    """An encoder and a decoder of (batch, channels, *space), a latent space in between.

    A subclass says what regularises the latents z.

    Args:
        in_channels: Channels of x.
        encoded: Channels that the encoder gives.
        latent_channels: Channels of z.
        sizes: Levels, widths and blocks. A side of z is 2^(levels - 1) times shorter than one of x:
            three levels make f4, four f8.
    """

    def __init__(
        self,
        in_channels: int,
        encoded: int,
        latent_channels: int,
        sizes: Sizes,
    ) -> None:
        super().__init__()
        least = min(in_channels, latent_channels, *sizes.widths, sizes.blocks)
        if least < 1:
            raise InputError("An autoencoder's channels, multipliers and blocks are at least 1.")
        dims = self.dims = sizes.dims
        self.latent_channels = latent_channels
        self.factor = 2 ** (len(sizes.multipliers) - 1)
        self.encoder = Encoder(in_channels, encoded, sizes)
        self.quant = convolution(dims, encoded, encoded, 1)
        self.post_quant = convolution(dims, latent_channels, latent_channels, 1)
        self.decoder = Decoder(latent_channels, in_channels, sizes)

    @property
    def last_layer(self) -> Tensor:
        """The weights of the decoder's last convolution, at which losses are weighed."""
        return self.decoder.leave.get_parameter("weight")

    def moments(self, x: Tensor) -> Tensor:
        """What the encoder says of x, (batch, encoded, *space / factor)."""
        self.require_divisible(x.shape[2:])
        out: Tensor = self.quant(self.encoder(x))
        return out

    def require_divisible(self, sides: Sequence[int]) -> None:
        """``InputError`` unless the sides can be halved at every level."""
        if len(sides) != self.dims or any(side % self.factor for side in sides):
            raise InputError(
                f"This autoencoder takes {self.dims} axes that divide by {self.factor}, got "
                f"{tuple(sides)}; crop or resample the data, or train with fewer multipliers."
            )

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """The latents z (batch, latent_channels, *space / factor) that diffusion models."""

    def decode(self, z: Tensor) -> Tensor:
        """x of latents, (batch, channels, *space)."""
        out: Tensor = self.decoder(self.post_quant(z))
        return out

    @abstractmethod
    def forward(self, x: Tensor, randomness: Randomness) -> Coded:
        """The reconstruction of x, and the penalty of its latents, for training."""


@autoencoders.register("kl")
class AutoencoderKL(Autoencoder):
    """The KL-regularised autoencoder (Kingma & Welling 2014; Rombach et al. 2022): the encoder
    gives a Gaussian N(mean, exp(logvar)) of z, held to N(0, 1) by a small weight times

        KL = 1/2 sum (mean^2 + exp(logvar) - 1 - logvar).

    Args:
        in_channels: Channels of x.
        latent_channels: Channels of z.
        dims: Axes of space, 1 to 3.
        channels: Width of the finest level.
        multipliers: One a level, the finest first: its width over ``channels``.
        blocks: Residual blocks a level.
        groups: Groups of the normalisation.
        weight: Of the KL divergence, a value of x.
        checkpointing: Whether inner maps are computed again in the backward pass.
    """

    def __init__(
        self,
        in_channels: int,
        latent_channels: int = 4,
        *,
        dims: int = 2,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 2,
        groups: int = 32,
        weight: float = 1e-6,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(
            in_channels,
            2 * latent_channels,
            latent_channels,
            Sizes(dims, channels, multipliers, blocks, groups, checkpointing),
        )
        self.weight = weight

    def encode(self, x: Tensor) -> Tensor:
        return self.moments(x).chunk(2, 1)[0]

    def forward(self, x: Tensor, randomness: Randomness) -> Coded:
        moments = self.moments(x)
        moments = moments.to(torch.promote_types(moments.dtype, torch.float32))
        mean, logvar = moments.chunk(2, 1)
        logvar = logvar.clamp(-30, 20)
        z = mean + (0.5 * logvar).exp() * normal(mean.shape, randomness, like=mean)
        divergence = 0.5 * sum_per_sample(mean**2 + logvar.exp() - 1 - logvar)
        return Coded(self.decode(z), self.weight * divergence.to(mean) / x[0].numel())


@autoencoders.register("vq")
class AutoencoderVQ(Autoencoder):
    """The vector-quantised autoencoder (van den Oord et al. 2017; Esser et al. 2021): before it is
    decoded, each place of z becomes the nearest of ``codes`` learned vectors e,

        penalty = |stop(z) - e|^2 + commitment |z - stop(e)|^2,

    and the decoder's gradient goes straight through to z. Diffusion models z before it is
    quantised, as in VQ-regularised latent diffusion. A code that nothing was near to for ``idle``
    batches in a row takes the place of a latent of the batch (Dhariwal et al. 2020).

    Args:
        in_channels: Channels of x.
        latent_channels: Channels of z, the length of a code.
        dims: Axes of space, 1 to 3.
        channels: Width of the finest level.
        multipliers: One a level, the finest first: its width over ``channels``.
        blocks: Residual blocks a level.
        groups: Groups of the normalisation.
        codes: How many codes there are.
        commitment: The weight that holds z to its code.
        idle: Batches after which an unused code moves.
        checkpointing: Whether inner maps are computed again in the backward pass.
    """

    unused: Tensor

    def __init__(
        self,
        in_channels: int,
        latent_channels: int = 4,
        *,
        dims: int = 2,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 2,
        groups: int = 32,
        codes: int = 1024,
        commitment: float = 0.25,
        idle: int = 20,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(
            in_channels,
            latent_channels,
            latent_channels,
            Sizes(dims, channels, multipliers, blocks, groups, checkpointing),
        )
        self.codebook = nn.Embedding(codes, latent_channels)
        self.commitment, self.idle = commitment, idle
        # All codes move to latents of the first batches.
        self.register_buffer("unused", torch.full((codes,), float(idle)))

    def encode(self, x: Tensor) -> Tensor:
        return self.moments(x)

    def decode(self, z: Tensor) -> Tensor:
        quantised, _ = self.quantise(z)
        return super().decode(z + (quantised - z).detach())

    def forward(self, x: Tensor, randomness: Randomness) -> Coded:
        z = self.moments(x)
        if self.training:
            self._move_unused(z.detach(), randomness)
        quantised, _ = self.quantise(z)
        near = (quantised - z.detach()) ** 2 + self.commitment * (z - quantised.detach()) ** 2
        return Coded(super().decode(z + (quantised - z).detach()), near.flatten(1).mean(1))

    def quantise(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest code of each place (batch, latent_channels, *space), and its number (batch,
        *space).
        """
        places = z.movedim(1, -1)
        number = self._nearest(places.reshape(-1, places.shape[-1])).view(places.shape[:-1])
        return self.codebook(number).movedim(-1, 1).to(z), number

    def _nearest(self, places: Tensor) -> Tensor:
        """The number of the code nearest to each of places (n, latent_channels)."""
        with torch.no_grad(), torch.autocast(places.device.type, enabled=False):
            codes = self.codebook.weight.float()
            distance = codes.square().sum(1) - 2 * places.float() @ codes.T
            return distance.argmin(1)

    @torch.no_grad()
    def _move_unused(self, z: Tensor, randomness: Randomness) -> None:
        """Count the batches in which each code was not used, and move those unused for long."""
        places = z.movedim(1, -1).flatten(0, -2).float()
        used = torch.zeros_like(self.unused).index_fill_(0, self._nearest(places), 1.0)
        self.unused.add_(1).mul_(1 - used)
        idle = (self.unused > self.idle).nonzero().flatten()
        if not len(idle):
            return
        first = randomness if isinstance(randomness, torch.Generator) else next(iter(randomness))
        chosen = torch.randint(len(places), (len(idle),), generator=first).to(places.device)
        self.codebook.weight[idle] = places[chosen].to(self.codebook.weight)
        self.unused[idle] = 0
