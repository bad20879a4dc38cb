"""The condition of what is known of a clip: its first frames, every second one, or parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.conditioning import Condition, Context, conditions
from unfog.errors import InputError

NAME = "given"
# What training gives, each with its probability: the first frames, evenly spaced ones, both ends,
# any of them.
CHANCES = (0.4, 0.2, 0.2, 0.2)
LARGEST_STEP = 4  # between evenly spaced frames


def known(clip: Tensor, mask: Tensor) -> Tensor:
    """The value of the condition.

    Args:
        clip: Clips on the model's scale, (batch, channels, frames, rows, columns).
        mask: 1 where they are known, of a shape that broadcasts to (batch, 1, frames, rows,
            columns).

    Returns:
        (batch, channels + 1, frames, rows, columns): what is known, with what lies between and
        about it filled in (``filled``), and the mask.
    """
    there = mask.to(clip).expand(len(clip), 1, *clip.shape[2:])
    return torch.cat([filled(clip, there > 0), there], 1)


def filled(clip: Tensor, there: Tensor) -> Tensor:
    """Clips where they are known; between known frames their linear interpolation, outside them the
    nearest; 0 where a place is known in no frame.

    Args:
        clip: (batch, channels, frames, rows, columns).
        there: Whether it is known, bool (batch, 1, frames, rows, columns).

    Returns:
        As clip.
    """
    frames = clip.shape[2]
    time = torch.arange(frames, device=clip.device).view(1, 1, -1, 1, 1)
    # The known frames before and after each: -1 and ``frames`` where there are none.
    before = torch.where(there, time, -1).cummax(2).values
    after = torch.where(there, time, frames).flip(2).cummin(2).values.flip(2)
    first, last = before < 0, after == frames
    lower = torch.where(first, after, before).clamp(max=frames - 1)
    upper = torch.where(last, before, after).clamp(min=0)
    share = ((time - lower) / (upper - lower).clamp(min=1)).to(clip) * (~first & ~last)
    low, high = (clip.gather(2, at.expand(clip.shape)) for at in (lower, upper))
    return torch.lerp(low, high, share) * ~(first & last)


@conditions.register("given-frames")
class GivenFrames(Condition):
    """Frames that are known, concatenated to x_t, with one channel more, which is 1 where they are
    known (Ho et al. 2022; Voleti et al. 2022, arXiv:2205.09853). A value is what ``known`` makes;
    the null is that nothing is known. Training knows frames of the clip itself (``derive``).

    Args:
        channels: Channels of a clip.
    """

    made_of_data = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels, self.sizes = channels, {"spatial_channels": channels + 1}

    def derive(self, x: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Some frames of each clip, by a generator a sample; nothing comes with them."""
        masks = torch.stack([drawn_frames(x.shape[2], g) for g in generators])
        value = known(x, masks.to(x.device)[:, None, :, None, None])
        return value, torch.ones(len(x), dtype=torch.bool, device=x.device)

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """As of any condition; what is known says where itself, so there is no mask."""
        return super().forward(value, keep, x_t)

    def embed(self, value: Tensor) -> Context:
        if value.shape[1] != self.channels + 1:
            raise InputError(
                f"Known frames have {self.channels + 1} channels, the last saying where they are "
                f"known, not {value.shape[1]}."
            )
        return Context(spatial=value)

    def null(self, x_t: Tensor) -> Context:
        return Context(spatial=x_t.new_zeros(len(x_t), self.channels + 1, *x_t.shape[2:]))


def drawn_frames(frames: int, randomness: torch.Generator) -> Tensor:
    """Which frames of a clip training knows, bool (frames,); never all of them."""
    kind, one, two = torch.rand(3, generator=randomness).tolist()
    mask = torch.zeros(frames, dtype=torch.bool)
    if frames < 2:
        return mask
    first, spaced, ends, _ = (sum(CHANCES[: k + 1]) for k in range(len(CHANCES)))
    if kind < first:
        mask[: 1 + int(one * (frames - 1))] = True
    elif kind < spaced:
        mask[:: 2 + int(one * (LARGEST_STEP - 1))] = True
    elif kind < ends:
        mask[0] = mask[-1] = True
    else:
        mask[torch.rand(frames, generator=randomness) < one] = True
        mask[int(two * frames)] = False
    return mask if not bool(mask.all()) else ~mask
