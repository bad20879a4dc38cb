"""The objective of clips and pictures jointly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.space import PLAIN, Space
from unfog.errors import InputError
from unfog.networks.layers.temporal import clip_context, fold, unfold
from unfog.training.objectives import objectives
from unfog.training.objectives.denoising import DenoisingObjective, denoising
from unfog.training.objectives.losses import Example
from unfog.training.objectives.objective import Drops, Named
from unfog.training.objectives.objective import given as given_conditions
from unfog.training.order import streams
from unfog.video import frame_rate, given

STILL = "still"  # of a batch: whether a sample's frames are pictures of their own, (batch,)


@dataclass(frozen=True)
class JointDenoising:
    """Denoising of clips, some of whose samples are taken as pictures, frame by frame (Ho et al.
    2022, arXiv:2204.03458, section 4): the network sees each as a clip of one frame, which passes
    by all that it has along time. So its spatial layers keep what pictures alone teach.

    Samples that the batch marks as ``still`` are always pictures. Where frames are known, the state
    is what is left of the clip (``given.Residual``).

    Args:
        denoising: The objective of clips.
        stills: The share of the samples that are taken as pictures, from 0 to 1.

    Raises:
        InputError: It is another number.
    """

    denoising: DenoisingObjective
    stills: float

    def __post_init__(self) -> None:
        if not 0 <= self.stills <= 1:
            raise InputError(f"The share of stills is from 0 to 1, not {self.stills}.")

    @property
    def head(self) -> nn.Module | None:
        """As of the objective of clips."""
        return self.denoising.head

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Tensor:
        """The loss of each sample (batch,)."""
        still = self.chosen(batch, samples, seed, step)
        values = given_conditions(denoiser, batch, samples, seed, step)
        keep = self.denoising.drop.keep(samples, seed, step, batch["x"].device)
        for name in {frame_rate.NAME, given.NAME} & keep.keys():  # a picture has neither
            keep[name] = keep[name] & ~still
        x, space = _states(denoiser, batch["x"], values.get(given.NAME), keep.get(given.NAME))
        example = self.denoising.example(denoiser, x, samples, seed, step, space)
        context = denoiser.conditioner(example.x_t, values, keep)
        losses = example.x_t.new_zeros(len(still))
        # The clips, then the pictures, each kind in one call.
        for rows, output in ((~still, _whole), (still, _frame_by_frame)):
            if bool(rows.any()):
                part, told = _rows(example, rows), _rows_of_context(context, rows)
                out = space.within(_some(space.mask, rows)).project(output(denoiser, part, told))
                losses[rows] = self.denoising.loss(denoiser, part, out).to(losses)
        return losses

    def chosen(
        self, batch: Mapping[str, Tensor], samples: Sequence[int], seed: int, step: int
    ) -> Tensor:
        """Which samples are taken as pictures, by (seed, step, sample), bool (batch,)."""
        drawn = torch.stack(
            [torch.rand((), generator=g) for g in streams("still", seed, step, samples)]
        )
        chosen = (drawn < self.stills).to(batch["x"].device)
        return chosen | batch[STILL].bool() if STILL in batch else chosen


def _states(
    denoiser: NetworkDenoiser, x: Tensor, value: Tensor | None, keep: Tensor | None
) -> tuple[Tensor, Space]:
    """The states of clips (batch, channels, frames, rows, columns), and where they live: what is
    left of those of which something is known (``given.Residual``), and the others as they are.
    """
    parts = denoiser.conditioner.parts
    if value is None or given.NAME not in parts:
        return x, PLAIN
    nothing = torch.zeros_like(value)
    shown = value if keep is None else torch.where(keep.view(-1, 1, 1, 1, 1), value, nothing)
    residual = cast(given.GivenFrames, parts[given.NAME]).residual(shown)
    return residual.of(x), residual.space


def _some(mask: Tensor | None, rows: Tensor) -> Tensor | None:
    """The rows of a mask, where there is one."""
    return None if mask is None else mask[rows]


def _whole(denoiser: NetworkDenoiser, example: Example, context: Context) -> Tensor:
    """The network's output for clips."""
    return denoiser.output(example.x_t, example.t, context)


def _frame_by_frame(denoiser: NetworkDenoiser, example: Example, context: Context) -> Tensor:
    """The network's output for clips, each frame as a clip of one."""
    frames = example.x_t.shape[2]
    told = clip_context(context, frames)
    spatial = None if told.spatial is None else told.spatial[:, :, None]
    alone = Context(told.vector, spatial, told.tokens, told.token_mask)
    x, t = fold(example.x_t)[:, :, None], example.t.repeat_interleave(frames)
    return unfold(denoiser.output(x, t, alone)[:, :, 0], frames)


def _rows(example: Example, rows: Tensor) -> Example:
    """The samples of an example where ``rows`` (batch,) is True."""
    return Example(**{f.name: getattr(example, f.name)[rows] for f in fields(example)})


def _rows_of_context(context: Context, rows: Tensor) -> Context:
    """The context of the samples where ``rows`` is True."""
    parts = {f.name: getattr(context, f.name) for f in fields(context)}
    return Context(**{name: None if v is None else v[rows] for name, v in parts.items()})


@objectives.register("joint-denoising")
def joint_denoising(
    times: Named = "uniform",
    weight: Named = "simple",
    draws: Named = "stratified",
    stills: float = 0.1,
    drop: Drops = None,
) -> JointDenoising:
    """``denoising`` of clips, a share of them taken as pictures (Ho et al. 2022).

    Args:
        times: The distribution of training times, by name.
        weight: The weight of each noise level in the loss, by name.
        draws: How a batch's uniform numbers are drawn, by name.
        stills: The share of the samples that are taken as pictures.
        drop: The probability of hiding each condition, by name.

    Returns:
        The objective.
    """
    return JointDenoising(denoising(times, weight, draws, drop), stills)
