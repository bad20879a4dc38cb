r"""The condition of what is known of a clip, its first frames, every second one, or parts; and the
clip as what is left of it when that is taken away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unfog.core.conditioning import Condition, Context, conditions
from unfog.core.space import Masked, Space
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
        about it filled in, and how near that is, 1 / (1 + distance) (``filled``).
    """
    there = mask.to(clip).expand(len(clip), 1, *clip.shape[2:])
    guess, distance = filled(clip, there > 0)
    return torch.cat([guess, 1 / (1 + distance)], 1)


def filled(clip: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Clips where they are known; between known frames their linear interpolation, outside them the
    nearest; 0 where a place is known in no frame.

    Args:
        clip: (batch, channels, frames, rows, columns).
        there: Whether it is known, bool (batch, 1, frames, rows, columns).

    Returns:
        As clip; and the distance to what is known, in frames, shaped as ``there``: 1 / (1 / before
        + 1 / after), which is the variance of a Brownian bridge, infinite where nothing is known.
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
    near = 1 / (time - before).to(clip) * ~first + 1 / (after - time).to(clip) * ~last
    return torch.lerp(low, high, share) * ~(first & last), 1 / near


@dataclass(frozen=True)
class Residual:
    """Clips x as what is left of them when what is known, and filled in, is taken away:

        r = (x - guess) / deviation,     0 where the deviation is.

    The state of a diffusion whose draws are known where the clip is, and elsewhere as far from the
    guess as clips are, which was done to weather's maps (Mardani et al. 2023, arXiv:2309.15214) and
    to sounds (Lee et al. 2022, arXiv:2106.06406).

    Args:
        guess: (batch, channels, frames, rows, columns).
        deviation: (batch, 1, frames, rows, columns), in deviations of clips.
    """

    guess: Tensor
    deviation: Tensor

    @property
    def space(self) -> Space:
        """Where r lives: it is 0 where the clip is known."""
        return Masked(self.deviation > 0)

    def of(self, clip: Tensor) -> Tensor:
        """r of clips, shaped as they are."""
        left = (clip - self.guess) / self.deviation
        return torch.where(self.deviation > 0, left, 0.0)

    def clip(self, r: Tensor) -> Tensor:
        """The clips of r, shaped as it is."""
        return self.guess + self.deviation * r


@conditions.register("given-frames")
class GivenFrames(Condition):
    """Frames that are known, concatenated to x_t, with one channel more, which says how near they
    are (Ho et al. 2022; Voleti et al. 2022, arXiv:2205.09853). A value is what ``known`` makes;
    the null is that nothing is known. Training knows frames of the clip itself (``derive``). The
    state under the condition is a ``Residual``.

    Args:
        channels: Channels of a clip.
        deviation: Of clips from what is filled in at a distance of one frame, in deviations of
            clips.
        power: Of the distance that the deviation goes with.
    """

    made_of_data = True

    def __init__(self, channels: int, deviation: float, power: float) -> None:
        super().__init__()
        self.channels, self.sizes = channels, {"spatial_channels": channels + 1}
        self.deviation, self.power = deviation, power

    def residual(self, value: Tensor) -> Residual:
        """How clips are taken, given a value of the condition (batch, channels + 1, frames, rows,
        columns): deviation * distance^power, 1 at most, and 1 where nothing is known.
        """
        distance = 1 / value[:, -1:] - 1
        deviation = (self.deviation * distance**self.power).clamp(max=1)
        return Residual(value[:, :-1], deviation)

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
                f"Known frames have {self.channels + 1} channels, the last saying how near they "
                f"are, not {value.shape[1]}."
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


def law_of(clips: Tensor) -> dict[str, float]:
    """How far clips are from what is filled in, as a power of the distance: the parameters
    ``deviation`` and ``power`` of ``GivenFrames``.

    Args:
        clips: Some clips of the data, (clips, channels, frames, rows, columns), on any scale.

    Returns:
        The parameters, by least squares on logarithms; no distance, no change: 1 and 0.
    """
    generators = [torch.Generator().manual_seed(k) for k in range(len(clips))]
    masks = torch.stack([drawn_frames(clips.shape[2], g) for g in generators])
    there = masks[:, None, :, None, None].expand(-1, 1, *clips.shape[2:])
    guess, distance = filled(clips, there)
    far = distance.mean((1, 3, 4)).flatten()
    error = (clips - guess).square().mean((1, 3, 4)).flatten() / clips.var()
    # The mean squares by distance; then a line through their logarithms.
    distances, kind, count = np.unique(far.numpy(), return_inverse=True, return_counts=True)
    square = np.bincount(kind, error.double().numpy()) / count
    use = (distances > 0) & np.isfinite(distances) & (square > 0)
    if use.sum() < 2:
        return {"deviation": 1.0, "power": 0.0}
    x, y = np.log(distances[use]), np.log(square[use]) / 2
    power = max(0.0, float(np.polyfit(x, y, 1, w=np.sqrt(count[use]))[0]))
    deviation = np.exp(np.average(y - power * x, weights=count[use]))
    return {"deviation": round(float(deviation), 4), "power": round(power, 3)}
