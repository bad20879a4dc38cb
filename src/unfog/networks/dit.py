r"""The diffusion transformer in 1, 2 or 3 dimensions (Peebles & Xie 2023, arXiv:2212.09748)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.functional import silu

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks.layers.checkpointing import Checkpointing
from unfog.networks.layers.embedding import LabelEmbedding
from unfog.networks.layers.inputs import InputFeatures
from unfog.networks.layers.patches import shuffle
from unfog.networks.layers.positions import positions as position_kinds
from unfog.networks.layers.transformer import AdaptiveBlock, layer_norm, modulate
from unfog.networks.network import NOTHING, Network
from unfog.networks.registry import networks

LABEL_WIDTH = 256  # sinusoids of the label
FEATURE_MAPS = 4


@networks.register("dit")
class DiT(Network):
    """The network of a denoiser as a transformer: x (batch, in_channels, *space), label (batch,)
    and context to (batch, out_channels, *space).

    Patches of x are tokens. With e the embedding of the label plus the context's vector,

        h_0 = W patches(x) + positions,   h_(i+1) = block(h_i, silu(e)),
        out = patches^-1(W' ((1 + s) norm(h) + b)),     (b, s) = W'' silu(e).

    With depth 28, width 1152, 16 heads, patch 2, 4 channels in and 8 out it is DiT-XL/2 for
    latents (8 for a learned variance). It starts as the zero function, every block as the identity.
    The sides of x are multiples of the patch. A context must hold all that the network is built
    for, and nothing else.

    Args:
        in_channels: channels of x.
        out_channels: channels of the output.
        dims: spatial axes, 1 to 3.
        depth: number of blocks.
        width: numbers of a token, and width of the label's embedding.
        heads: attention heads; they divide the width.
        patch: side of a patch.
        mlp_ratio: width of a block's hidden layer over ``width``.
        positions: how tokens are told their places, a name or config; see
            `unfog.networks.layers.positions`.
        vector_width: width of ``context.vector``, which is ``width``; None without it.
        spatial_channels: channels of ``context.spatial``, on the grid of x; 0 without it.
        token_width: width of ``context.tokens``, seen by cross-attention; None without them.
        embedding_shift: see `unfog.networks.layers.embedding.sinusoids`.
        mlp_norm_eps: see `unfog.networks.layers.transformer.AdaptiveBlock`.
        checkpointing: see `unfog.networks.layers.checkpointing.Checkpointing`.
    """

    kind = "DiT"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 2,
        depth: int = 6,
        width: int = 256,
        heads: int = 4,
        patch: int = 2,
        mlp_ratio: int = 4,
        positions: str | Mapping[str, Any] = "sinusoidal",
        vector_width: int | None = None,
        spatial_channels: int = 0,
        token_width: int | None = None,
        embedding_shift: float = 0.0,
        mlp_norm_eps: float = 1e-6,
        checkpointing: bool = False,
    ) -> None:
        _check_sizes(width, heads, vector_width, in_channels, out_channels, depth, patch, mlp_ratio)
        super().__init__(
            dims,
            embedding_width=width,
            vector_width=vector_width,
            spatial_channels=spatial_channels,
            token_width=token_width,
        )
        self.width, self.patch, self.run = width, patch, Checkpointing(checkpointing)
        # The embedding of the label, the patches and their places.
        self.embedding = LabelEmbedding(LABEL_WIDTH, width, embedding_shift)
        self.input = InputFeatures(
            in_channels, dims, spatial_channels=spatial_channels, patch=patch
        )
        self.enter = nn.Linear(self.input.channels, width)
        self.positions = position_kinds.build(positions, width=width, heads=heads, dims=dims)
        # The blocks, some of which show their maps to a discriminator.
        blocks = [
            AdaptiveBlock(width, heads, mlp_ratio * width, token_width, mlp_norm_eps)
            for _ in range(depth)
        ]
        self.blocks = cast(Sequence[AdaptiveBlock], nn.ModuleList(blocks))
        self.shown = sorted({-(-depth * k // FEATURE_MAPS) - 1 for k in range(1, FEATURE_MAPS + 1)})
        self.feature_channels = [width] * len(self.shown)
        # The last layer.
        self.norm, self.project = layer_norm(width), nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, out_channels * patch**dims)
        _initialise(self)

    def forward(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> Tensor:
        e, h = self._enter(x, label, context)
        for tokens in self._blocks(x, e, h, context):
            h = tokens
        # The last layer, then tokens back into patches of pixels.
        shift, scale = self.project(e).chunk(2, 1)
        out: Tensor = self.leave(modulate(self.norm(h), shift, scale))
        return shuffle(self._map(out, x), self.patch)

    def features(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> list[Tensor]:
        """As of any network: the tokens after up to 4 blocks, evenly spaced and the last among
        them, as maps (batch, width, *space / patch).
        """
        e, h = self._enter(x, label, context)
        every = enumerate(self._blocks(x, e, h, context))
        return [self._map(tokens, x) for i, tokens in every if i in self.shown]

    def check_space(self, space: Sequence[int]) -> None:
        super().check_space(space)
        if any(side % self.patch for side in space):
            raise InputError(
                f"A DiT with patches of {self.patch} takes sides that are multiples of "
                f"{self.patch}, got {' x '.join(map(str, space))}; crop them, or build the network "
                "with a 'patch' that divides them."
            )

    def _enter(self, x: Tensor, label: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """The activated embedding (batch, width) and the first tokens (batch, n, width)."""
        self.check(x, context)
        # The label's embedding, plus the context's vector.
        e = self.embedding(label)
        if context.vector is not None:
            e = e + context.vector.to(e.dtype)
        # Patches as tokens, with their places.
        patches = self.input(x, label, context).to(self.enter.weight.dtype)
        h = self.enter(patches.flatten(2).transpose(1, 2))
        return silu(e), self.positions.added(h, patches.shape[2:])

    def _blocks(self, x: Tensor, e: Tensor, h: Tensor, context: Context) -> Iterator[Tensor]:
        """The tokens (batch, n, width) after each block."""
        rotate = self.positions.rotation(self._grid(x), x.device)
        for block in self.blocks:
            h = self.run(block, h, e, context, rotate)
            yield h

    def _grid(self, x: Tensor) -> list[int]:
        """Patches along each axis."""
        return [side // self.patch for side in x.shape[2:]]

    def _map(self, h: Tensor, x: Tensor) -> Tensor:
        """Tokens (batch, n, k) as a map (batch, k, *space / patch)."""
        return h.transpose(1, 2).reshape(len(h), h.shape[2], *self._grid(x))


def _check_sizes(width: int, heads: int, vector_width: int | None, *sizes: int) -> None:
    """``InputError`` for sizes below 1, or of parts that do not fit together."""
    if min(width, heads, *sizes) < 1:
        raise InputError(
            "A DiT's channels, depth, width, heads, patch and mlp_ratio must all be at least 1."
        )
    if width % heads:
        raise InputError(f"A DiT's width of {width} does not divide into {heads} heads.")
    if vector_width not in (None, width):
        raise InputError(
            f"A DiT's vector_width is its width, {width}, since the vector is added to the label's "
            f"embedding; got {vector_width}."
        )


def _initialise(dit: DiT) -> None:
    """As DiT's authors: Glorot's uniform weights and zero biases, normal weights of deviation 0.02
    for the label, and zeros for every modulation, the end of cross-attention and the last layer.
    """
    for module in dit.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for layer in (dit.embedding.hidden, dit.embedding.out):
        nn.init.normal_(layer.weight, std=0.02)
    ends: list[nn.Module] = [block.project for block in dit.blocks]
    ends += [block.cross.out for block in dit.blocks if block.cross is not None]
    for end in [*ends, dit.project, dit.leave]:
        nn.init.zeros_(end.get_parameter("weight"))
