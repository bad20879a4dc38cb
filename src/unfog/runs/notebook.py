"""What a notebook shows of a run and of restored images: facts and pictures.

Neither says where a file lies or what it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from unfog.errors import InputError
from unfog.report import figures
from unfog.report.figures import Figure, fragment, sizes
from unfog.runs.run import Run, data_range

if TYPE_CHECKING:
    from unfog.runs.restored import Restored

DRAWN, STEPS = 4, 6  # samples of a run and their steps: seconds on one core
PIXELS = 128 * 128  # of a sample, the most that is drawn unasked
SHOWN = 8  # images of a stack


def run_html(run: Run) -> str:
    """Facts of a run, and four quick samples where it draws small pictures from nothing."""
    numbers = sum(p.numel() for p in run.denoiser.parameters())
    low, high = data_range(run)
    facts: dict[str, Any] = {
        "system": run.config.get("system", ""),
        "a sample": f"{sizes(run.shape)} (channels, space)",
        "values": f"{low:.4g} to {high:.4g}",
        "parameters": f"{numbers:,}",
        "conditions": ", ".join(run.denoiser.conditioner.parts) or "none",
        "sampler": run.config["sampling"]["sampler"],
        "steps": run.config["sampling"]["steps"],
    }
    x = _drawn(run)
    if x is None:
        return fragment("A run of unfog", facts, {})
    sheet = figures.samples(x, low, high)
    note = f"Samples 0 to {DRAWN - 1} of seed 0 in {STEPS} steps; sample(n) takes the run's own."
    return fragment("A run of unfog", facts, {"samples": sheet}, note)


def _drawn(run: Run) -> Tensor | None:
    """Quick samples; None of what is no small picture, or cannot be drawn without a condition."""
    if len(run.shape) != 3 or run.shape[0] not in (1, 3) or run.shape[1] * run.shape[2] > PIXELS:
        return None
    try:
        return run.sample(DRAWN, steps=STEPS)
    except InputError:
        return None


def restored_html(restored: Restored) -> str:
    """Mean, standard deviation and a draw, of the first images."""
    draws = restored.samples[:, 0]
    facts: dict[str, Any] = {
        "images": len(restored.mean),
        "each": f"{sizes(restored.mean.shape[1:])} (channels, space)",
        "draws": restored.samples.shape[1],
        "mean": float(restored.mean.mean()),
        "standard deviation, median": float(restored.std.median()),
        "standard deviation, largest": float(restored.std.max()),
    }
    return fragment("Restored", facts, _pictures(restored.mean, restored.std, draws))


def _pictures(mean: Tensor, std: Tensor, draws: Tensor) -> dict[str, Figure]:
    """The three rows of pictures; none of what has no rows and columns, or other channels."""
    if mean.ndim not in (4, 5) or mean.shape[1] not in (1, 3):
        return {}
    means, spreads, drawn = (x[:SHOWN].numpy(force=True) for x in (mean, std, draws))
    low, high = figures.window(means)
    return {
        "mean": figures.samples(means, low, high),
        "standard deviation": figures.maps(figures.planes(spreads).mean(1)),
        "a draw": figures.samples(drawn, low, high),
    }
