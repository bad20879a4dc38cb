"""Points in the plane on their way from noise to data, with the score as arrows:
``python -m unfog.lab.points PROCESS --out FILE.json``.

The data are a mixture of Gaussians, whose score is known in closed form, so that what is seen is
the mathematics and no network's error.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import EDM, Process, RectifiedFlow, VPLinear
from unfog.core.random import generator
from unfog.files.output import write_text
from unfog.lab.alone import alone
from unfog.lab.trajectory import instants
from unfog.sampling.grids import grids
from unfog.sampling.loop import trajectory
from unfog.sampling.samplers import samplers

PROCESSES: dict[str, Process] = {
    "vp-linear": VPLinear(),
    "edm": EDM(20.0),
    "rectified-flow": RectifiedFlow(),
}
POINTS, STEPS, ARROWS = 120, 24, 11  # arrows a side of the picture
MODES, RADIUS, DEVIATION = 5, 1.5, 0.12  # of the data
REACH = 2.4  # of the picture, in units of the state's own spread


def mixture(process: Process) -> MixtureDenoiser:
    """The oracle of five narrow Gaussians on a circle, one of them twice as likely."""
    turns = torch.arange(MODES, dtype=torch.float64) * 2 * math.pi / MODES
    means = RADIUS * torch.stack([turns.sin(), turns.cos()], 1)
    weights = torch.ones(MODES, dtype=torch.float64)
    weights[0] = 2.0
    return MixtureDenoiser(process, weights, means, torch.full_like(means, DEVIATION**2))


def score(denoiser: MixtureDenoiser, x_t: Tensor, t: Tensor) -> Tensor:
    """The gradient of log p_t at points (n, 2), by Tweedie's formula
    (alpha E[x_0 | x_t] - x_t) / sigma^2.
    """
    alpha, sigma = denoiser.scales(t)
    mean: Tensor = denoiser(x_t, t).mean
    return (alpha * mean - x_t) / sigma**2


def lattice(reach: float) -> Tensor:
    """The places of the arrows, (ARROWS^2, 2)."""
    side = torch.linspace(-reach, reach, ARROWS, dtype=torch.float64)
    return torch.cartesian_prod(side, side)


def walk(name: str) -> dict[str, Any]:
    """The frames of one process, noise first.

    Args:
        name: One of ``PROCESSES``.

    Returns:
        The times' numbers and, of each time, the points, their posterior means and the arrows'
        scores times sigma, all in units of ``reach``, half the side of the picture.
    """
    process = PROCESSES[name]
    denoiser, times = mixture(process), grids.build("trailing")(process, STEPS)
    noise = torch.randn(POINTS, 2, generator=generator("points"), dtype=torch.float64)
    start = noise * process.sigma(times[0])
    found = []
    states = trajectory(denoiser, start, times, samplers.build("heun"), randomness=generator("p"))
    for state, t in zip(states, times, strict=True):
        alpha, sigma = (float(v) for v in process.scales(t))
        reach = REACH * math.hypot(alpha * RADIUS / math.sqrt(2), sigma)
        clean = sigma == 0
        means = state.x if clean else denoiser(state.x, t).mean
        arrows = sigma * score(denoiser, lattice(reach), t) if not clean else torch.zeros(0, 2)
        points = {"x": state.x / reach, "mean": alpha * means / reach, "score": arrows}
        found.append({key: value.round(decimals=3).tolist() for key, value in points.items()})
    return {"process": name, "arrows": ARROWS, "times": instants(process, times), "frames": found}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m unfog.lab.points")
    parser.add_argument("process", choices=PROCESSES)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    alone(lambda: write_text(told.out, json.dumps(walk(told.process), separators=(",", ":"))))


if __name__ == "__main__":
    main()
