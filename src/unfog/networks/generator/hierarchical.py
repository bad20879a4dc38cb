"""A hierarchical VAE: latents at every resolution, drawn from the coarsest to the finest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from unfog.core.random import Randomness, normal
from unfog.networks.generator.generator import generators
from unfog.networks.generator.maps import SLOPE, Down, Grow, Residual, Sizes, layer
from unfog.networks.generator.vae import CLAMP, Bound, Variational, divergence


class TopDown(nn.Module):
    """A latent within the way down: h <- residual(h + f(z) + m), with z drawn from the prior
    p(z | h), or in training from q(z | h, e), where e is the encoder's map.

    Args:
        width: Channels of h and e.
        latent: Channels of z.
        dims: Axes of space.
    """

    def __init__(self, width: int, latent: int, dims: int) -> None:
        super().__init__()
        self.prior = layer(dims, width, 2 * latent + width)
        self.posterior = layer(dims, 2 * width, 2 * latent)
        self.enter = layer(dims, latent, width, 1)
        self.body = Residual(width, dims)
        self.latent, self.width = latent, width
        # Prior and posterior begin as N(0, 1).
        for part in (self.prior, self.posterior):
            nn.init.zeros_(part.get_parameter("weight"))
            nn.init.zeros_(part.get_parameter("bias"))

    def forward(
        self, h: Tensor, e: Tensor | None, randomness: Randomness
    ) -> tuple[Tensor, Tensor | None]:
        """The next h, and the KL divergence (batch,) where e is given."""
        split = [self.latent, self.latent, self.width]
        mean, logvar, more = self.prior(leaky_relu(h, SLOPE)).float().split(split, 1)
        logvar, kl = logvar.clamp(*CLAMP), None
        use_mean, use_logvar = mean, logvar
        if e is not None:
            both = torch.cat([h, e], 1)
            use_mean, use_logvar = self.posterior(leaky_relu(both, SLOPE)).float().chunk(2, 1)
            use_logvar = use_logvar.clamp(*CLAMP)
            kl = divergence(use_mean, use_logvar, mean, logvar)
        z = use_mean + (0.5 * use_logvar).exp() * normal(mean.shape, randomness, like=mean)
        return self.body(h + more + self.enter(z)), kl


@generators.register("hierarchical-vae")
class HierarchicalVAE(Variational):
    """A ladder of latents (Sonderby et al. 2016; Child 2021, "VDVAE"): z_1 at the coarsest map, and
    p(z_k | z_<k) and q(z_k | z_<k, x) below it, so KL is the sum over all.

    Args:
        shape: Of a sample, (channels, *space).
        latent: Channels of each z.
        channels: Of the finest map.
        multipliers: One a level, the finest first: its channels over ``channels``.
        blocks: Latents a level.
        spread: The share of the noise in a sample.
        classes: How many there are, each with a map to begin from; 0 for none.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 8,
        channels: int = 32,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 2,
        spread: float = 0.0,
        classes: int = 0,
    ) -> None:
        super().__init__(shape, spread)
        self.classes = classes
        sizes = Sizes(shape, channels, multipliers, blocks)
        widths, grids = sizes.widths[::-1], sizes.grids[::-1]
        self.encoder = Down(sizes)
        self.start = nn.Parameter(torch.zeros(max(1, classes), widths[0], *grids[0]))
        self.levels = nn.ModuleList(
            nn.ModuleList(TopDown(width, latent, sizes.dims) for _ in range(blocks))
            for width in widths
        )
        self.grow = nn.ModuleList(
            Grow(sizes.dims, a, b, grid)
            for (a, b), grid in zip(pairwise(widths), grids[1:], strict=True)
        )
        self.leave = layer(sizes.dims, widths[-1], self.shape[0])

    def bound(self, x: Tensor, randomness: Randomness, label: Tensor | None = None) -> Bound:
        maps = self.encoder(x)[::-1]
        mean, divergences = self._down(self._begun(len(x), label), maps, randomness)
        return Bound(self.nll(x, mean), torch.stack(divergences).sum(0))

    def draw(self, randomness: Sequence[torch.Generator], label: Tensor | None = None) -> Tensor:
        h = self._begun(len(randomness), self.labels(randomness, label))
        mean, _ = self._down(h, [None] * len(self.levels), randomness)
        return self.shown(mean, randomness)

    def _begun(self, batch: int, label: Tensor | None) -> Tensor:
        """The coarsest map before any latent: that of the class, (batch, width, *grid)."""
        if label is not None and self.classes:
            return self.start[label.long()]
        return self.start[:1].expand(batch, *self.start.shape[1:])

    def _down(
        self, h: Tensor, maps: Sequence[Tensor | None], randomness: Randomness
    ) -> tuple[Tensor, list[Tensor]]:
        """From the coarsest map to the mean of x, and the divergences of the latents."""
        divergences: list[Tensor] = []
        for number, level in enumerate(self.levels):
            if number:
                h = self.grow[number - 1](h)
            assert isinstance(level, nn.ModuleList)
            for step in level:
                h, kl = step(h, maps[number], randomness)
                divergences += [] if kl is None else [kl]
        mean: Tensor = self.leave(leaky_relu(h, SLOPE))
        return mean, divergences
