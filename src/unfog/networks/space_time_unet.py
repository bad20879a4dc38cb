r"""The space-time U-Net: the U-Net of pictures with layers along time (Ho et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks.layers.blocks import Stage
from unfog.networks.layers.temporal import (
    ClipContext,
    JointAttention,
    SpaceTimeStage,
    TemporalAttention,
    TemporalConvolution,
    clip_context,
    fold,
    unfold,
)
from unfog.networks.network import NOTHING
from unfog.networks.registry import networks
from unfog.networks.unet import UNet

TIME = ".temporal."  # in the names of weights along time, and of no others


@networks.register("space-time-unet")
class SpaceTimeUNet(UNet):
    """A U-Net of clips (batch, channels, frames, rows, columns), factorised (Ho et al. 2022,
    arXiv:2204.03458): the U-Net of pictures on every frame, and after each of its stages a
    convolution along time and, at some levels, attentions along time or over the whole clip.

    Its weights are those of the U-Net of the same keys, by the same names, and others along time,
    which start as nothing: so a model of pictures starts it, and a clip of one frame is a picture.
    Clips may be of any length.

    Args:
        in_channels: channels of x.
        out_channels: channels of the output.
        dims: 3: time and the two axes of space.
        temporal_levels: levels, from 0, with attention along time; None for all below the top, or
            the only one.
        joint_levels: levels with attention over all places of all frames after those.
        reach: see `unfog.networks.layers.temporal.TemporalAttention`.
        channels, multipliers, blocks, attention_levels, middle_attention, head_dim, groups,
            dropout, modulation, vector_width, spatial_channels, token_width, patch, coordinates,
            octaves, shortcut, picture_shortcut, halvings, skip_scale, downsample_padding, norm_eps,
            embedding_shift, checkpointing: as of the U-Net; patches are of each frame.
    """

    kind = "space-time U-Net"
    takes_dims = (2, 3)  # the frames', and its own

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 3,
        temporal_levels: Sequence[int] | None = None,
        joint_levels: Sequence[int] = (),
        reach: int = 16,
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 2, 2),
        blocks: int | Sequence[int] = 2,
        attention_levels: Sequence[int] = (1,),
        middle_attention: bool = True,
        head_dim: int | None = None,
        groups: int = 32,
        dropout: float = 0.0,
        modulation: str = "scale-shift",
        vector_width: int | None = None,
        spatial_channels: int = 0,
        token_width: int | None = None,
        patch: int = 1,
        coordinates: bool = False,
        octaves: int = 0,
        shortcut: bool = False,
        picture_shortcut: bool = False,
        halvings: int = 0,
        skip_scale: float = 1.0,
        downsample_padding: int = 1,
        norm_eps: float = 1e-6,
        embedding_shift: float = 1.0,
        checkpointing: bool = False,
    ) -> None:
        if dims != 3:
            raise InputError(f"A {self.kind} has dims 3, time and two of space, not {dims}.")
        super().__init__(
            in_channels,
            out_channels,
            dims=2,
            channels=channels,
            multipliers=multipliers,
            blocks=blocks,
            attention_levels=attention_levels,
            middle_attention=middle_attention,
            head_dim=head_dim,
            groups=groups,
            dropout=dropout,
            modulation=modulation,
            vector_width=vector_width,
            spatial_channels=spatial_channels,
            token_width=token_width,
            patch=patch,
            coordinates=coordinates,
            octaves=octaves,
            shortcut=shortcut,
            picture_shortcut=picture_shortcut,
            halvings=halvings,
            skip_scale=skip_scale,
            downsample_padding=downsample_padding,
            norm_eps=norm_eps,
            embedding_shift=embedding_shift,
            checkpointing=checkpointing,
        )
        self.dims, self.head_dim, self.groups = dims, head_dim, groups
        self.norm_eps, self.reach = norm_eps, reach
        count = len(multipliers)
        self.attentive = {
            TemporalAttention: _levels("temporal_levels", temporal_levels, count),
            JointAttention: _levels("joint_levels", joint_levels, count),
        }
        self._add_time()

    def _add_time(self) -> None:
        """Each stage with its layers along time."""
        lowest = len(self.down) - 1
        for number, descent in enumerate(self.down):
            descent.stages = self._timed(descent.stages, number)
        self.middle = self._timed(self.middle, lowest)
        for number, ascent in enumerate(self.up):
            ascent.stages = self._timed(ascent.stages, lowest - number)

    def _timed(self, stages: nn.ModuleList, level: int) -> nn.ModuleList:
        """Stages of a level with a convolution along time, and the attentions that it has."""
        timed = list[Stage]()
        for stage in stages:
            assert isinstance(stage, Stage)
            width = int(stage.block.get_submodule("conv2").get_parameter("weight").shape[0])
            parts: list[nn.Module] = [TemporalConvolution(width, self.groups, self.norm_eps)]
            parts += [
                attention(width, self.head_dim, self.groups, self.norm_eps, self.reach)
                for attention, levels in self.attentive.items()
                if level in levels
            ]
            timed.append(SpaceTimeStage(stage, parts))
        return nn.ModuleList(timed)

    def forward(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> Tensor:
        self.check(x, context)
        frames = x.shape[2]
        inner = clip_context(context, frames)
        return unfold(super().forward(fold(x), label.repeat_interleave(frames), inner), frames)

    def features(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> list[Tensor]:
        """As of any network, of clips: (batch, channels of the map, frames, *space of the map)."""
        self.check(x, context)
        frames = x.shape[2]
        inner = clip_context(context, frames)
        maps = super().features(fold(x), label.repeat_interleave(frames), inner)
        return [unfold(one, frames) for one in maps]

    def check(self, x: Tensor, context: Context) -> None:
        """As of any network; folded frames were checked as a clip."""
        if not isinstance(context, ClipContext):
            super().check(x, context)


def _levels(name: str, levels: Sequence[int] | None, count: int) -> set[int]:
    """The levels of an option; ``InputError`` for some that are not there. None is all below the
    top, or the only one.
    """
    chosen = set(range(min(1, count - 1), count)) if levels is None else set(levels)
    if not chosen <= set(range(count)):
        raise InputError(f"{name} index the {count} multipliers from 0; got {sorted(chosen)}.")
    return chosen
