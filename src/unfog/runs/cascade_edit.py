"""Edits by a cascade that knows a picture by its embedding, as DALL-E 2's does (Ramesh et al. 2022,
section 3): other pictures of the same embedding, and pictures between two.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from unfog.core.random import generators
from unfog.errors import InputError
from unfog.runs.cascade import StageReport, TrainedCascade, Wanted, draw_cascade
from unfog.runs.embeddings import NAME, encoder_of
from unfog.runs.guided import guided
from unfog.runs.joint_codec import JointEncoderCodec
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.sampling.inversion import invert
from unfog.sampling.loop import solve
from unfog.sampling.samplers import samplers
from unfog.sampling.slerp import slerp

ITERATIONS = 5  # calls a step of the inversion
MOST_NOISE = 40.0  # sigma / alpha at which an interpolation begins


def decoder_of(cascade: TrainedCascade) -> Run:
    """The stage that draws pictures of embeddings; ``InputError`` where there is none."""
    for run in cascade.runs.values():
        if "encoder" in run.config:
            return run
    raise InputError(
        f"The cascade {cascade.cascade.name} knows no embeddings of pictures; take one that does, "
        "such as dalle2."
    )


def embedding_of(cascade: TrainedCascade, picture: Tensor) -> Tensor:
    """The embedding of a picture, a unit vector.

    Args:
        cascade: Its joint encoder is asked.
        picture: (1, channels, rows, columns) in natural units; averaged down to the encoder's size.

    Returns:
        (1, numbers).
    """
    codec = encoder_of(decoder_of(cascade).config)
    return codec.decode(codec.encode(fitted(picture, codec.shape[1:])))


def fitted(picture: Tensor, space: tuple[int, ...]) -> Tensor:
    """A picture (1, channels, rows, columns) on another grid, smoothed where that is coarser."""
    if tuple(picture.shape[2:]) == tuple(space):
        return picture
    return F.interpolate(picture, space, mode="bicubic", antialias=True, align_corners=False)


def variations(
    cascade: TrainedCascade, picture: Tensor, wanted: Wanted, report: StageReport = lambda _: None
) -> Tensor:
    """Other pictures of a picture's embedding.

    Args:
        cascade: A cascade with a decoder of embeddings.
        picture: (1, channels, rows, columns), in natural units.
        wanted: How many, and how to draw them.
        report: Gives the reporter of a stage's progress.

    Returns:
        (count, channels, *space) in natural units.
    """
    e = embedding_of(cascade, picture).expand(wanted.count, -1)
    return _from_embeddings(cascade, e, wanted, report)


def between(
    cascade: TrainedCascade,
    first: Tensor,
    second: Tensor,
    wanted: Wanted,
    report: StageReport = lambda _: None,
) -> Tensor:
    """Pictures between two: embeddings on the arc between theirs, drawn by DDIM from noises on the
    arc between those from which DDIM draws the two, so that both ends are the pictures themselves
    as far as the decoder's inversion goes.

    Args:
        cascade: A cascade with a decoder of embeddings.
        first: (1, channels, rows, columns), in natural units.
        second: Likewise.
        wanted: How many, both ends counted, and how to draw them.
        report: Gives the reporter of a stage's progress.

    Returns:
        (count, channels, *space) in natural units.

    Raises:
        InputError: There are fewer than 2.
    """
    if wanted.count < 2:
        raise InputError("An interpolation has 2 pictures or more, both ends counted.")
    run = decoder_of(cascade)
    share = torch.linspace(0, 1, wanted.count, dtype=torch.float64)
    # Embeddings and noises of both ends.
    ends = torch.cat([embedding_of(cascade, p) for p in (first, second)])
    grid = _ddim_grid(run, wanted.steps)
    small = torch.cat([fitted(p, run.shape[1:]) for p in (first, second)])
    codec = encoder_of(run.config)
    told = {NAME: codec.standard(ends)}
    with torch.no_grad():
        noise = invert(
            run.denoiser, run.codec.encode(small), grid, iterations=ITERATIONS, condition=told
        )
        # Those between, by DDIM.
        e = slerp(*_pairs(ends, wanted.count), share)
        x = slerp(*_pairs(noise, wanted.count), share)
        denoiser = run.denoiser if wanted.guidance is None else guided(run, wanted.guidance)
        drawn = run.codec.decode(
            solve(
                denoiser,
                x,
                grid,
                samplers.build("ddim"),
                randomness=generators(wanted.seed, range(wanted.count)),
                condition={NAME: codec.standard(e)},
                report=report(run.name),
            )
        )
    known = {**_embeddings_known(cascade, e), run.name: drawn}
    return draw_cascade(cascade, wanted, known=known.get, report=report)


def _pairs(ends: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first and the second of two ends, each ``count`` times."""
    first, second = (end[None].expand(count, *end.shape) for end in ends)
    return first, second


def _ddim_grid(run: Run, steps: int | None) -> Tensor:
    """Times of the run's own grid, as DDIM comes down them, from where a little of the picture is
    left: from noise alone nothing leads up.
    """
    grid = Plan.of(run, "ddim", steps).grid
    return grid[run.denoiser.process.noise_level(grid) <= MOST_NOISE]


def _embeddings_known(cascade: TrainedCascade, e: Tensor) -> dict[str, Tensor]:
    """The embeddings as what the stage that draws such has drawn."""
    return {
        name: e for name, run in cascade.runs.items() if isinstance(run.codec, JointEncoderCodec)
    }


def _from_embeddings(
    cascade: TrainedCascade, e: Tensor, wanted: Wanted, report: StageReport
) -> Tensor:
    """Pictures of embeddings, by the decoder and what follows it."""
    decoder_of(cascade)
    known = _embeddings_known(cascade, e)
    return draw_cascade(cascade, replace(wanted, prompts=()), known=known.get, report=report)
