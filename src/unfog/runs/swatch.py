"""Texture transfer: a picture drawn anew with the statistics of a swatch (``physics.swatch``)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.errors import InputError
from unfog.physics.operators import Mask
from unfog.physics.swatch import SwatchStatistics
from unfog.posterior.linearised import Linearised
from unfog.progress import Report
from unfog.runs.edit import draw_edits
from unfog.runs.run import Run
from unfog.runs.sample import Plan

NOISE = 0.02  # deviation to which statistics are met, on the model's scale


def transfer(
    run: Run,
    editor: Denoiser,
    x: Tensor,
    swatch: Tensor,
    plan: Plan,
    *,
    region: Tensor,
    strength: float = 0.7,
    condition: Mapping[str, Tensor] | None = None,
    samples: int = 4,
    seed: int = 0,
    report: Report | None = None,
) -> Tensor:
    """Pictures in the texture of a swatch: SDEdit (Meng et al. 2022) given the swatch's statistics
    within a region, by MMPS at their linearisation; what lies outside stays.

    Args:
        run: The model.
        editor: Its denoiser, under guidance if any.
        x: Pictures in natural units, (pictures, channels, rows, columns).
        swatch: A picture of the texture in natural units, (1, channels, rows, columns), at least as
            large as those of the run.
        plan: Sampler and times.
        region: (1 or pictures, 1, rows, columns) bool, True where the texture goes.
        strength: The share of the steps that are gone back.
        condition: What the pictures are to show, by name, each a batch of one.
        samples: Draws of each picture.
        seed: Draw k of picture i depends on (seed, i, k) alone.
        report: Told (steps done, steps in all).

    Returns:
        (pictures, samples, channels, rows, columns) in natural units.

    Raises:
        InputError: The swatch is smaller than the model's pictures, or has other channels.
    """
    require_swatch(run, swatch)
    y = SwatchStatistics()(run.codec.encode(swatch))
    drawn = []
    # One picture at a time, for the region is its own.
    for i, picture in enumerate(x):
        here = region[i : i + 1] if len(region) > 1 else region
        told = Linearised(editor, SwatchStatistics(here), y, NOISE)
        drawn.append(
            draw_edits(
                told,
                run.codec.encode(picture[None]),
                plan,
                strength=strength,
                condition=condition or {},
                keep=Mask(~here.expand(1, *x.shape[1:])),
                samples=samples,
                seed=seed + i,
                report=report,
            )[0]
        )
    edits = run.codec.decode(torch.cat(drawn))
    return edits.reshape(len(x), samples, *x.shape[1:])


def require_swatch(run: Run, swatch: Tensor) -> None:
    """``InputError`` for a swatch smaller than the model's window, or of other channels."""
    channels, *window = run.shape
    if swatch.shape[1] != channels:
        raise InputError(
            f"The swatch has {swatch.shape[1]} channels and {run.name} draws {channels}; convert "
            "it."
        )
    if any(n < side for n, side in zip(swatch.shape[2:], window, strict=True)):
        sizes = (" x ".join(map(str, size)) for size in (swatch.shape[2:], window))
        raise InputError(
            "The swatch has {} pixels, fewer than the {} of the model's window; give a larger "
            "one.".format(*sizes)
        )
