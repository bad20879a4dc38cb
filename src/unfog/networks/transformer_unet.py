r"""The U-Net whose attentions are transformers, as in Stable Diffusion (Rombach et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from unfog.errors import InputError
from unfog.networks.layers.blocks import Stage
from unfog.networks.layers.spatial_transformer import SpatialTransformer
from unfog.networks.registry import networks
from unfog.networks.unet import UNet


@networks.register("transformer-unet")
class TransformerUNet(UNet):
    """The U-Net with a transformer after the blocks of some levels: attention of a map's positions
    to each other, cross-attention to ``context.tokens``, and a gated perceptron.

    With channels 320, multipliers (1, 2, 4, 4), depths (1, 1, 1, 0), 8 heads and tokens of 768
    numbers it is the network of Stable Diffusion 1 (859.521 M parameters); with heads (5, 10, 20,
    20) and tokens of 1024 of Stable Diffusion 2; with multipliers (1, 2, 4), depths (0, 2, 10),
    ``middle_depth`` 10, heads (5, 10, 20) and tokens of 2048 of Stable Diffusion XL (Podell et
    al. 2023).

    Args:
        in_channels: channels of x.
        out_channels: channels of the output.
        dims: spatial axes, 1 to 3.
        channels, multipliers, blocks, groups, dropout, modulation, vector_width, spatial_channels,
            token_width, downsample_padding, norm_eps, embedding_shift, checkpointing: as of the
            U-Net.
        depths: layers of the transformer of each level, the top first; 0 for none.
        middle_depth: layers of the transformer at the bottom; 0 for none.
        heads: attention heads, one number or one a level; the bottom has those of the last.
    """

    kind = "transformer U-Net"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 2,
        channels: int = 320,
        multipliers: Sequence[int] = (1, 2, 4, 4),
        blocks: int | Sequence[int] = 2,
        depths: Sequence[int] = (1, 1, 1, 0),
        middle_depth: int = 1,
        heads: int | Sequence[int] = 8,
        groups: int = 32,
        dropout: float = 0.0,
        modulation: str = "add",
        vector_width: int | None = None,
        spatial_channels: int = 0,
        token_width: int | None = None,
        downsample_padding: int = 1,
        norm_eps: float = 1e-5,
        embedding_shift: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            dims=dims,
            channels=channels,
            multipliers=multipliers,
            blocks=blocks,
            attention_levels=(),
            middle_attention=False,
            groups=groups,
            dropout=dropout,
            modulation=modulation,
            vector_width=vector_width,
            spatial_channels=spatial_channels,
            token_width=token_width,
            downsample_padding=downsample_padding,
            norm_eps=norm_eps,
            embedding_shift=embedding_shift,
            checkpointing=checkpointing,
        )
        counts = [heads] * len(multipliers) if isinstance(heads, int) else list(heads)
        if not len(depths) == len(counts) == len(multipliers) or min(*depths, middle_depth) < 0:
            raise InputError(
                f"depths and heads have one number for each of the {len(multipliers)} multipliers, "
                f"none below 0; got {list(depths)} and {counts}, with middle_depth {middle_depth}."
            )
        self.depths, self.middle_depth, self.heads = list(depths), middle_depth, counts
        self.local = not (any(depths) or middle_depth)
        # The transformers, behind the blocks on the way down and up, and the first at the bottom.
        for level, (depth, count) in enumerate(zip(depths, counts, strict=True)):
            width = channels * multipliers[level]
            for stage in (*self.down[level].stages, *self.up[-1 - level].stages):
                self._attend(stage, width, count, depth, groups)
        self._attend(self.middle[0], channels * multipliers[-1], counts[-1], middle_depth, groups)

    def _attend(self, stage: nn.Module, width: int, heads: int, depth: int, groups: int) -> None:
        """A stage followed by a transformer, unless that has no layers."""
        assert isinstance(stage, Stage)
        if depth:
            stage.attentions.append(
                SpatialTransformer(width, heads, depth, groups, self.token_width)
            )
