r"""Clips of any length out of a model of short ones, a window at a time: what comes after given
frames, and what lies between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generator
from unfog.core.space import PLAIN
from unfog.errors import InputError
from unfog.physics.operators import Mask
from unfog.posterior.methods import posterior_denoiser
from unfog.progress import Report
from unfog.runs.run import Run, require_pixels
from unfog.runs.sample import Plan, run_plan
from unfog.video import frame_rate, given
from unfog.video.given import GivenFrames, Residual

AUTO = "auto"
NOISE = 0.02  # of known frames for posterior methods, on the model's scale


@dataclass(frozen=True)
class Filler:
    """Draws a window of a clip, some of whose frames are known.

    Args:
        denoiser: Of clips; that of a run, or an oracle.
        plan: Sampler and times.
        frames: Of a window, which is what the model was trained on.
        fps: Frames a second, where the model is told.
        method: "given" tells the network what is known, or a name of ``posterior.methods``; "auto"
            is the first where the network was trained so, else MMPS.
        seed: Window k of clip i depends on (seed, stream, i, k) alone.
        stream: What is drawn; streams of other names are independent.
        known: The condition by which the network is told, for the method "given".
    """

    denoiser: Denoiser
    plan: Plan
    frames: int
    fps: float | None = None
    method: str = AUTO
    seed: int = 0
    stream: str = "window"
    known: GivenFrames | None = None

    @classmethod
    def of(
        cls, run: Run, plan: Plan, fps: float | None = None, method: str = AUTO, seed: int = 0
    ) -> Filler:
        """That of a run.

        Args:
            run: The model.
            plan: Sampler and times.
            fps: Frames a second.
            method: As of the class.
            seed: The seed.

        Returns:
            The filler.

        Raises:
            InputError: The run is none of clips, or was not told what is given here.
        """
        require_clips(run)
        parts = run.denoiser.conditioner.parts
        if fps is not None and frame_rate.NAME not in parts:
            raise InputError(f"{run.name} was trained without frame rates; leave out --fps.")
        if method == "given" and given.NAME not in parts:
            raise InputError(f"{run.name} was trained without known frames; take the method mmps.")
        if method == AUTO:
            method = "given" if given.NAME in parts else "mmps"
        known = cast(GivenFrames, parts[given.NAME]) if given.NAME in parts else None
        return cls(run.denoiser, plan, run.latent_shape[1], fps, method, seed, known=known)

    def window(
        self,
        clip: Tensor,
        mask: Tensor,
        ids: Sequence[int],
        number: int,
        report: Report | None = None,
    ) -> Tensor:
        """A window of each of some clips.

        Args:
            clip: Where it is known, (clips, channels, frames, rows, columns), on the model's scale.
            mask: Which frames are known, bool (frames,).
            ids: The clips' numbers.
            number: The window's.
            report: Told (steps done, steps in all).

        Returns:
            The clips, whole: known frames as they were, others drawn.
        """
        condition: dict[str, Tensor] = {}
        if self.fps is not None:
            condition[frame_rate.NAME] = torch.full((len(clip), 1), self.fps)
        denoiser, where = self.denoiser, mask.view(1, 1, -1, 1, 1)
        residual: Residual | None = None
        if bool(mask.any()) and self.method == "given" and self.known is not None:
            condition[given.NAME] = given.known(clip, where)
            residual = self.known.residual(condition[given.NAME])
        elif bool(mask.any()):
            operator = Mask(where)
            method = "mmps" if self.method == AUTO else self.method
            denoiser = posterior_denoiser(denoiser, operator, operator(clip), NOISE, method)
        drawn = run_plan(
            denoiser,
            self.plan,
            [generator(self.seed, self.stream, i, number) for i in ids],
            clip.shape[1:],
            condition=condition,
            space=PLAIN if residual is None else residual.space,
            report=report,
        )
        if residual is not None:
            drawn = residual.clip(drawn)
        return torch.where(where, clip, drawn)


def require_clips(run: Run) -> None:
    """``InputError`` for a run of other data than clips."""
    if run.config.get("format") != "video":
        raise InputError(f"{run.name} is no model of clips; take one of the system video.")


def require_frames(run: Run) -> None:
    """``InputError`` for a run in a latent space, where frames cannot be known one by one."""
    require_pixels(run, "going on from known frames", "take a model of pixels, such as video")


def extended(
    filler: Filler,
    start: Tensor,
    frames: int,
    ids: Sequence[int],
    overlap: int | None = None,
    report: Report | None = None,
) -> Tensor:
    """Clips that go on after given frames: each window is drawn given the last frames before it
    (Ho et al. 2022, section 3.1), so memory is that of one window.

    Args:
        filler: Draws a window.
        start: (clips, channels, frames given, rows, columns), on the model's scale; no frames for
            clips out of nothing.
        frames: Of the whole, the given ones among them.
        ids: The clips' numbers.
        overlap: Frames that a window shares with the one before; half a window by default.
        report: Told (frames done, frames in all).

    Returns:
        (clips, channels, frames, rows, columns).

    Raises:
        InputError: There are no frames to add, or the overlap leaves none.
    """
    shared = filler.frames // 2 if overlap is None else overlap
    if frames <= start.shape[2] or not 1 <= shared < filler.frames:
        raise InputError(
            f"A clip of {start.shape[2]} frames is extended to more, and windows of "
            f"{filler.frames} share from 1 to {filler.frames - 1}; got {frames} and {shared}."
        )
    clip, number = start, 0
    # The first window knows all that is given, as far as it leaves room for new frames.
    room = max(shared, min(start.shape[2], filler.frames - 1))
    while clip.shape[2] < frames:
        before = clip[:, :, -min(clip.shape[2], room) :] if clip.shape[2] else clip
        size = before.shape[2]
        mask = torch.arange(filler.frames) < size
        window = before.new_zeros(*before.shape[:2], filler.frames, *before.shape[3:])
        window[:, :, :size] = before
        drawn = filler.window(window, mask, ids, number)
        clip = torch.cat([clip, drawn[:, :, size:]], 2)
        number, room = number + 1, shared
        if report is not None:
            report(min(clip.shape[2], frames), frames)
    return clip[:, :, :frames]


def interpolated(
    filler: Filler,
    keys: Tensor,
    factor: int,
    ids: Sequence[int],
    report: Report | None = None,
) -> Tensor:
    """Clips with frames between given ones: windows that begin and end on a given frame, each
    knowing those within it and what the window before drew of it.

    Args:
        filler: Draws a window; its ``fps`` is that of the result.
        keys: The given frames, (clips, channels, keys, rows, columns), on the model's scale.
        factor: The frames from a given one to the next.
        ids: The clips' numbers.
        report: Told (windows done, windows in all).

    Returns:
        (clips, channels, (keys - 1) factor + 1, rows, columns).

    Raises:
        InputError: There is one key alone, or the factor is below 2 or larger than a window.
    """
    count = keys.shape[2]
    if count < 2 or not 2 <= factor < filler.frames:
        raise InputError(
            f"Frames are found between 2 or more given ones, {filler.frames - 1} at most from one "
            f"to the next; got {count} and a factor of {factor}."
        )
    length = (count - 1) * factor + 1
    clip = keys.new_zeros(*keys.shape[:2], length, *keys.shape[3:])
    clip[:, :, ::factor] = keys
    done = torch.zeros(length, dtype=torch.bool)
    done[::factor] = True
    windows = list(_windows(count, factor, filler.frames))
    for number, part in enumerate(windows):
        clip[:, :, part] = filler.window(clip[:, :, part], done[part], ids, number)
        done[part] = True
        if report is not None:
            report(number + 1, len(windows))
    return clip


def _windows(keys: int, factor: int, frames: int) -> Iterator[slice]:
    """The windows of ``interpolated``: as many gaps as fit, the first shared with the window before
    where there is room for two.
    """
    gaps = min(keys - 1, (frames - 1) // factor)
    step, first = max(1, gaps - 1), 0
    while True:
        first = min(first, keys - 1 - gaps)
        yield slice(first * factor, (first + gaps) * factor + 1)
        if first + gaps >= keys - 1:
            return
        first += step


def hierarchical(
    filler: Filler,
    shape: Sequence[int],
    frames: int,
    factor: int,
    ids: Sequence[int],
    report: Report | None = None,
) -> Tensor:
    """Clips out of nothing, coarse to fine (Ho et al. 2022, section 3.1): key frames at a lower
    rate, one after the other as by ``extended``, then what lies between them.

    Args:
        filler: Draws a window; its ``fps`` is that of the result.
        shape: Of a frame, (channels, rows, columns).
        frames: Of the result.
        factor: The frames from a key to the next.
        ids: The clips' numbers.
        report: Told (windows done, windows in all).

    Returns:
        (clips, channels, frames, rows, columns).
    """
    count = -(-(frames - 1) // factor) + 1
    slow = replace(filler, fps=None if filler.fps is None else filler.fps / factor)
    nothing = torch.zeros(len(ids), shape[0], 0, *shape[1:])
    keys = extended(slow, nothing, count, ids, report=report)
    fine = replace(filler, stream="between")
    return interpolated(fine, keys, factor, ids, report)[:, :, :frames]
