"""Inpainting by a run that was trained with the condition ``inpainting``: draws of what is in a
hole, given all around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unfog.core.inpainting import InpaintingCondition
from unfog.core.random import seed_of
from unfog.errors import InputError
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw


def hole_of(run: Run) -> str:
    """The name of a run's condition of a sample with a hole; ``InputError`` where it has none."""
    for name, part in run.denoiser.conditioner.named():
        if isinstance(part, InpaintingCondition):
            return name
    raise InputError(
        f"{run.name} was not trained to fill holes; take --method sdedit --mask, or unfog restore "
        "--task inpaint, or train one that is: --set conditions.hole.name=inpainting."
    )


def around(run: Run, x: Tensor, hole: Tensor) -> dict[str, Tensor]:
    """The condition of samples with a hole.

    Args:
        run: The model.
        x: In natural units, (batch, channels, *space); what is in the hole does not count where the
            codec works pixel by pixel.
        hole: (batch, 1, *space) bool, True in the hole. In a latent space a cell is hole wherever
            the hole touches it.

    Returns:
        The values by name, on the grid of the network.

    Raises:
        InputError: The run has no such condition, or the hole lies on another grid.
    """
    name = hole_of(run)
    if hole.shape != (len(x), 1, *x.shape[2:]):
        raise InputError(
            f"A hole is {(len(x), 1, *x.shape[2:])}, on the grid of the samples, not "
            f"{tuple(hole.shape)}."
        )
    with torch.no_grad():
        value = run.codec.encode(x)
    filled = _touched(hole, value.shape[2:])
    return {name: torch.where(filled, 0, value), f"{name}_mask": (~filled).to(value)}


def _touched(hole: Tensor, grid: torch.Size) -> Tensor:
    """The cells of a coarser grid that a hole (batch, 1, *space) touches, (batch, 1, *grid)."""
    pool = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
    return pool[len(grid)](hole.float(), list(grid)) > 0


def inpaint(
    run: Run,
    x: Tensor,
    hole: Tensor,
    plan: Plan,
    *,
    samples: int = 4,
    seed: int = 0,
    condition: Mapping[str, Tensor] | None = None,
    **options: Any,
) -> Tensor:
    """Draws of what is in a hole; outside it the samples stay exactly as they are.

    Args:
        run: A model with the condition ``inpainting``.
        x: In natural units, (batch, channels, *space).
        hole: (batch, 1, *space) bool, True in the hole.
        plan: Sampler and times.
        samples: Draws of each.
        seed: Draw k of sample i depends on (seed, i, k) alone.
        condition: What else they show, by name, each a batch of one.
        **options: Others of ``runs.sample.draw``: guidance, batch, windows, report.

    Returns:
        (batch, samples, channels, *space) in natural units.
    """
    jobs = [(i, k) for i in range(len(x)) for k in range(samples)]
    rows = [i for i, _ in jobs]
    told = {
        name: value.expand(len(jobs), *value.shape[1:]) for name, value in (condition or {}).items()
    }
    told |= {name: value[rows] for name, value in around(run, x, hole).items()}
    ids = [seed_of("inpaint", i, k) for i, k in jobs]
    drawn = draw(run, plan, ids, seed, condition=told, shape=tuple(x.shape[1:]), **options)
    return torch.where(hole[rows], drawn, x[rows]).reshape(len(x), samples, *x.shape[1:])
