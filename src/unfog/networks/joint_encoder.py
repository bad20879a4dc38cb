r"""A joint encoder of pictures and text: both as unit vectors in one space (Radford et al. 2021,
arXiv:2103.00020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.networks.autoencoder.convolutional import Encoder, Sizes
from unfog.networks.layers.transformer import TransformerBlock

joint_encoders: Registry[JointEncoder] = Registry("joint encoder")

START, LARGEST = math.log(1 / 0.07), math.log(100.0)  # of the logarithm of the scale


class Towards(nn.Module):
    """The head of a tower: features (batch, width) normalised and projected onto the unit sphere
    of (batch, embedding).
    """

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.norm, self.project = nn.LayerNorm(width), nn.Linear(width, embedding, bias=False)
        nn.init.normal_(self.project.weight, std=width**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        # In float32: the length of a vector is a sum over all its numbers.
        return normalize(self.project(self.norm(features)).float(), dim=-1)


class TextTower(nn.Module):
    """Token states (batch, length, token_width) to features (batch, width): a projection, places, a
    few transformer blocks, and the mean of the tokens that the mask shows.

    Args:
        token_width: numbers of a token.
        length: largest number of tokens.
        width: numbers of a token inside.
        depth: number of blocks.
        heads: attention heads.
    """

    def __init__(self, token_width: int, length: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"A text tower's width of {width} does not divide into {heads} heads.")
        # Text encoders differ in scale.
        self.norm, self.enter = nn.LayerNorm(token_width), nn.Linear(token_width, width)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        blocks = [TransformerBlock(width, heads, 4 * width) for _ in range(depth)]
        self.blocks = cast(Sequence[TransformerBlock], nn.ModuleList(blocks))

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        count = tokens.shape[1]
        if count > len(self.places):
            raise InputError(
                f"This joint encoder was built for texts of up to {len(self.places)} tokens, and "
                f"was given {count}; cut the text, or set the encoder's 'length'."
            )
        shown = tokens.new_ones(tokens.shape[:2]) if mask is None else mask.to(tokens.dtype)
        h = self.enter(self.norm(tokens)) + self.places[:count]
        for block in self.blocks:
            h = block(h, shown)
        weights = shown / shown.sum(1, keepdim=True).clamp(min=1)
        features: Tensor = (h * weights[..., None]).sum(1)
        return features


@joint_encoders.register("contrastive")
class JointEncoder(nn.Module):
    """Pictures and texts as unit vectors whose dot product says how well they go together:

        image(x) = unit(W mean(convolutions(x))),     text(y) = unit(W' mean(transformer(y))),
        logits = exp(min(s, ln 100)) image(x) text(y)^T,     s learned, ln(1 / 0.07) at first.

    Args:
        in_channels: channels of x.
        token_width: numbers of a token of the text.
        embedding: numbers of the common vectors.
        dims: spatial axes of x, 1 to 3.
        channels: width of the convolutions' finest map.
        multipliers: one a level, the finest first: its width over ``channels``.
        blocks: residual blocks a level.
        groups: groups of the normalisation.
        length: largest number of tokens.
        width: numbers of a token in the text tower.
        depth: its blocks.
        heads: its attention heads.
    """

    def __init__(
        self,
        in_channels: int,
        token_width: int,
        *,
        embedding: int = 64,
        dims: int = 2,
        channels: int = 32,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 1,
        groups: int = 8,
        length: int = 77,
        width: int = 128,
        depth: int = 1,
        heads: int = 4,
    ) -> None:
        super().__init__()
        if min(in_channels, token_width, embedding, channels, blocks, length, width) < 1:
            raise InputError("A joint encoder's sizes are at least 1.")
        self.embedding, self.factor = embedding, 2 ** (len(multipliers) - 1)
        sizes = Sizes(dims, channels, multipliers, blocks, groups)
        features = sizes.widths[-1]
        self.pictures, self.picture_head = (
            Encoder(in_channels, features, sizes),
            Towards(features, embedding),
        )
        self.words = TextTower(token_width, length, width, depth, heads)
        self.word_head = Towards(width, embedding)
        self.log_scale = nn.Parameter(torch.tensor(START))

    @property
    def scale(self) -> Tensor:
        """The factor of the logits, the inverse of the temperature, at most 100."""
        return self.log_scale.clamp(max=LARGEST).exp()

    def image(self, x: Tensor) -> Tensor:
        """Pictures (batch, channels, *space) as unit vectors (batch, embedding)."""
        if any(side % self.factor for side in x.shape[2:]):
            raise InputError(
                f"This joint encoder takes sides that are multiples of {self.factor}, got "
                f"{' x '.join(map(str, x.shape[2:]))}; crop or resample the data."
            )
        out: Tensor = self.picture_head(self.pictures(x).flatten(2).mean(2))
        return out

    def text(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Texts as unit vectors (batch, embedding).

        Args:
            tokens: Token states (batch, length, token_width).
            mask: (batch, length), True or 1 where a token counts; None where all do.
        """
        out: Tensor = self.word_head(self.words(tokens, mask))
        return out

    def forward(self, x: Tensor, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """The logits of every picture with every text, (batch, batch), pictures by row."""
        return self.scale * self.image(x) @ self.text(tokens, mask).T
