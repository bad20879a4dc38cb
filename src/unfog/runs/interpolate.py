"""Pictures between two: noises found by DDIM inversion, and drawn from along the arc between
them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.progress import Report
from unfog.runs.sample import Plan
from unfog.sampling.ancestral import DDIM
from unfog.sampling.inversion import invert
from unfog.sampling.loop import solve
from unfog.sampling.sdedit import last_share
from unfog.sampling.slerp import slerp


def interpolate(
    denoiser: Denoiser,
    x: Tensor,
    other: Tensor,
    plan: Plan,
    *,
    strength: float = 1.0,
    condition: Mapping[str, Tensor] | None = None,
    samples: int = 4,
    iterations: int = 5,
    report: Report | None = None,
) -> Tensor:
    """Pictures from one to another (Song, Meng & Ermon 2021, section 5.3): both go up to noise by
    DDIM, the noises are taken along their arc, and DDIM comes down again.

    Args:
        denoiser: The model.
        x: The first picture on the model's scale, (1, channels, *space).
        other: The last one, likewise.
        plan: Its times.
        strength: The share of the steps that are gone back; at 1 all of them.
        condition: What all of them show, by name, each a batch of one.
        samples: Pictures, the ends among them, as exactly as the inversion is.
        iterations: Calls a step on the way to noise.
        report: Told (steps done, steps in all).

    Returns:
        (1, samples, channels, *space) on the model's scale.
    """
    times = last_share(plan.grid, strength)
    share = torch.linspace(0, 1, samples, dtype=torch.float64)
    told = condition or {}
    noise = torch.cat([x, other])
    if len(times) > 1:
        both = {name: value.expand(2, *value.shape[1:]) for name, value in told.items()}
        noise = invert(denoiser, noise, times, iterations=iterations, condition=both)
    first, last = (end.expand(samples, *x.shape[1:]) for end in torch.split(noise, 1))
    between = slerp(first, last, share)
    if len(times) < 2:
        return between[None]
    many = {name: value.expand(samples, *value.shape[1:]) for name, value in told.items()}
    return solve(denoiser, between, times, DDIM(), randomness=[], condition=many, report=report)[
        None
    ]
