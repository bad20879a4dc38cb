"""What goes with a process where nobody says otherwise: how a network is told the time, which times
it is trained on, and the grid that samples take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unfog.core.process import (
    EDM,
    Process,
    RectifiedFlow,
    Tabulated,
    VarianceExploding,
)

Config = dict[str, Any]


@dataclass(frozen=True)
class Conventions:
    """Registry configs of a label, a distribution of training times, and a grid."""

    label: Config
    times: Config
    grid: Config


def conventions(process: Process) -> Conventions:
    """The conventions of the papers that brought the process.

    Additive noise: EDM's (Karras et al. 2022). Rectified flow: logit-normal times (Esser et al.
    2024). Tables: DDPM's (Ho et al. 2020). Other processes: uniform in continuous time (Song et al.
    2021).
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
