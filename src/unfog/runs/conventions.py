"""The defaults that depend on the process: the label by which a network is told the time, the
distribution of training times, and the grid of times for sampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unfog.core.process import EDM, Process, RectifiedFlow, Tabulated, VarianceExploding

Config = dict[str, Any]


@dataclass(frozen=True)
class Conventions:
    """Registry configs of what goes with a process.

    Args:
        label: How the network is told the time (``core.denoiser.labels``).
        times: The distribution of training times (``training.objectives.times``).
        grid: The times of a sampler's steps (``sampling.grids``).
    """

    label: Config
    times: Config
    grid: Config


def conventions(process: Process) -> Conventions:
    """The conventions of the paper that introduced the process.

    EDM, variance exploding   log-sigma label, log-normal levels    Karras et al. 2022
    rectified flow            logit-normal times                    Esser et al. 2024
    tables                    the table's own steps                 Ho et al. 2020
    others                    uniform in continuous time            Song et al. 2021
    """
    if isinstance(process, EDM | VarianceExploding):
        return Conventions({"name": "log-sigma"}, {"name": "log-normal"}, {"name": "karras"})
    if isinstance(process, RectifiedFlow):
        logit_normal = {"name": "log-normal", "mean": 0.0, "std": 1.0}
        return Conventions({"name": "time", "offset": 0.0}, logit_normal, {"name": "uniform"})
    if isinstance(process, Tabulated):
        steps = process.steps
        return Conventions(
            {"name": "time", "steps": float(steps)},
            {"name": "uniform", "steps": steps},
            {"name": "trailing", "knots": steps},
        )
    return Conventions({"name": "time"}, {"name": "uniform"}, {"name": "uniform"})
