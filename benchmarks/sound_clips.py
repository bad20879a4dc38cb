"""What the benchmarks of sounds share: clips of held-out speakers, and intervals of means."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import unfog.builtin  # noqa: F401  (registers every name)
from unfog.audio.data.letters import Speech

LEAST = 0.03  # deviation of a clip that holds speech
Interval = dict[str, float]


def held_out_clips(count: int, frames: int, rate: int, part: str = "all") -> Tensor:
    """Clips (count, 1, frames) of speakers that training never hears, evenly spaced among those
    that hold speech from end to end of a recording, none followed by the silence that fills up the
    last clip of one: there every interval holds 0.
    """
    dataset = Speech("test", part, "none", rate=rate, frames=frames)
    whole = [
        row
        for row, (number, start) in enumerate(dataset.places)
        if start + frames <= dataset.recordings[number].shape[1]
    ]
    x = dataset.batch(whole)["x"]
    x = x[x.flatten(1).std(1) > LEAST]
    if len(x) < count:
        raise SystemExit(f"Of held-out speech there are {len(x)} clips of {frames} frames.")
    return x[torch.linspace(0, len(x) - 1, count).round().long()]


def interval(values: Tensor | list[float]) -> Interval:
    """A mean over clips with its 95 % interval, by the bootstrap."""
    v = np.asarray(values, dtype=float)
    rows = np.random.default_rng(0).integers(0, len(v), (2000, len(v)))
    low, high = np.quantile(v[rows].mean(1), [0.025, 0.975])
    return {"mean": float(v.mean()), "low": float(low), "high": float(high)}
