"""What a network is told of the time, by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from unfog.core.process import Process
from unfog.core.registry import Registry

Label = Callable[[Process, Tensor], Tensor]  # (process, t) -> what a network is told of the time
labels: Registry[Label] = Registry("label")


@labels.register("time")
def time_label(steps: float = 1000.0, offset: float = 1.0) -> Label:
    """The discrete index n of DDPM networks, t = (n + 1) / steps: n = steps t - offset."""
    return lambda process, t: t * steps - offset


@labels.register("log-sigma")
def log_sigma_label(scale: float = 0.25, sigma_min: float = 1e-5) -> Label:
    """EDM's label (Karras et al. 2022): c_noise = ln(sigma / alpha) / 4."""
    return lambda process, t: scale * process.noise_level(t).clamp(min=sigma_min).log()
