"""A picture animated, a clip between two pictures, and a clip that ends where it begins, by a run
of the system ``dynamicrafter`` (Xing et al. 2023, arXiv:2310.12190).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from unfog.core.conditioning import Condition
from unfog.errors import InputError
from unfog.runs.guided import Guidance
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.video.dynamicrafter.conditions import (
    KnownFrames,
    PictureTokens,
    RateWaves,
    ends,
    repeated,
)

C = TypeVar("C", bound=Condition)


def animate(run: Run, image: Tensor, prompt: str | None = None, **options: Any) -> Tensor:
    """Clips that begin with a picture.

    Args:
        run: A run of ``dynamicrafter``.
        image: In natural units, (channels, height, width), of the size of the run's frames.
        prompt: What happens, in words, where the run was trained with text.
        **options: Others of ``told_clips``: fps, samples, seed, steps, guidance and its scales.

    Returns:
        (samples, channels, frames, height, width) in natural units.

    Raises:
        InputError: The run animates nothing, or the picture has another size.
    """
    latent = run.codec.encode(_still(run, image, image))
    return told_clips(run, repeated(latent), prompt, **options)


def interpolate(
    run: Run, first: Tensor, last: Tensor, prompt: str | None = None, **options: Any
) -> Tensor:
    """Clips from one picture to another.

    Args:
        run: A run of ``dynamicrafter`` that was shown last frames in training (``ends``).
        first: The first frame, in natural units, (channels, height, width).
        last: The last frame, likewise.
        prompt: As of ``animate``.
        **options: As of ``animate``.

    Returns:
        (samples, channels, frames, height, width) in natural units.

    Raises:
        InputError: The run knows no last frames, or as ``animate`` says.
    """
    name, known = _condition(run, KnownFrames)
    if not known.ends:
        raise InputError(
            f"{run.name} was never shown a last frame in training; train one with --set "
            f"conditions.{name}.ends=0.3."
        )
    latent = run.codec.encode(_still(run, first, last))
    return told_clips(run, ends(latent), prompt, **options)


def loop(run: Run, image: Tensor, prompt: str | None = None, **options: Any) -> Tensor:
    """Clips that go on where they began: from a picture to itself, without the last frame.

    Args:
        run: As of ``interpolate``.
        image: As of ``animate``.
        prompt: As of ``animate``.
        **options: As of ``animate``.

    Returns:
        (samples, channels, frames - 1, height, width) in natural units.
    """
    return interpolate(run, image, image, prompt, **options)[:, :, :-1]


def told_clips(
    run: Run,
    known: Tensor,
    prompt: str | None = None,
    *,
    fps: float | None = None,
    condition: Mapping[str, Tensor] | None = None,
    image_guidance: float = 1.0,
    guidance: float = 1.0,
    rescale: float = 0.0,
    samples: int = 1,
    seed: int = 0,
    steps: int | None = None,
    **options: Any,
) -> Tensor:
    """Clips of a run that is told known frames, with guidance towards picture and text apart:

        D_u + image_guidance (D_image - D_u) + guidance (D_all - D_image),

    where all three are told the known frames and the frame rate.

    Args:
        run: A run of ``dynamicrafter``.
        known: The known frames on the model's scale, (1, channels, frames, height, width).
        prompt: What happens, in words.
        fps: Frames a second; the condition's default where it is not given.
        condition: What else the clips show, by name, each a batch of one.
        image_guidance: Scale of the guidance towards the picture's tokens.
        guidance: Scale of that towards text and whatever else is told.
        rescale: Share of the way back to the spread of D_all.
        samples: Clips.
        seed: Clip k depends on (seed, k) alone.
        steps: Sampler steps; the run's own number by default.
        **options: Others of ``runs.sample.draw``: batch, report.

    Returns:
        (samples, channels, frames, height, width) in natural units.
    """
    told = dict(condition or {})
    if prompt is not None:
        told |= text_condition(run, [Prompt.plain(prompt)])
    frames, image = _condition(run, KnownFrames)[0], _condition(run, PictureTokens)[0]
    scales = {image: image_guidance} | {
        name: guidance for name in (run.config["conditions"]) if name in told
    }
    told |= {frames: known, image: known[:, :, 0]}
    if fps is not None:
        told[_condition(run, RateWaves)[0]] = torch.tensor([float(fps)])
    plain = all(scale == 1 for scale in scales.values())
    return draw(
        run,
        Plan.of(run, steps=steps),
        range(samples),
        seed,
        condition={name: v.expand(samples, *v.shape[1:]) for name, v in told.items()},
        guidance=None if plain else Guidance(scales, rescale=rescale),
        **options,
    )


def _still(run: Run, first: Tensor, last: Tensor) -> Tensor:
    """A clip of one picture up to its middle and another from there, (1, *run.shape)."""
    channels, frames, *space = run.shape
    for picture in (first, last):
        if tuple(picture.shape) != (channels, *space) or not bool(picture.isfinite().all()):
            raise InputError(
                f"{run.name} animates pictures {(channels, *space)} of finite values, and was "
                f"given {tuple(picture.shape)}; scale or crop it."
            )
    halves = [frames // 2, frames - frames // 2]
    parts = [
        p.float()[:, None].expand(-1, n, -1, -1) for p, n in zip((first, last), halves, strict=True)
    ]
    return torch.cat(parts, 1)[None]


def _condition(run: Run, kind: type[C]) -> tuple[str, C]:
    """The name of a run's condition of a kind, and the condition."""
    for name, part in run.denoiser.conditioner.named():
        if isinstance(part, kind):
            return name, part
    what = "no frame rate" if kind is RateWaves else "no picture to animate"
    raise InputError(f"{run.name} takes {what}; train one: unfog train dynamicrafter.")
