"""A trajectory of a prior as pictures: ``python -m unfog.lab.trajectory PRIOR --out FOLDER``.

``frames.png`` holds three rows of pictures, a column for each time of the grid, noise first: the
sampler's state x_t, the posterior mean E[x_0 | x_t], and the forward process, that is the sample
that came out with fresh noise of the same level. ``frames.json`` holds the numbers of the times.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.builtin import open_run
from unfog.core.process import Process
from unfog.core.random import generators, normal
from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.output import write_image, write_json
from unfog.lab.alone import alone
from unfog.report.pictures import Picture, shown
from unfog.runs.clip import clipped
from unfog.runs.guided import prompted
from unfog.runs.run import Run, data_range, require_pixels
from unfog.runs.sample import Plan
from unfog.sampling.loop import trajectory

ROWS = ("state", "posterior mean", "forward")
DEVIATION = 0.5  # of data on the model's scale, about


def instants(process: Process, times: Tensor) -> list[dict[str, float]]:
    """What a reader is told of each time: t, alpha, sigma and the signal-to-noise ratio
    alpha^2 / sigma^2 in decibels, at most 60.
    """
    found = []
    for t in times:
        alpha, sigma = (float(v) for v in process.scales(t))
        ratio = 20 * np.log10(max(alpha, 1e-3) / max(sigma, 1e-3))
        found.append({"t": float(t), "alpha": alpha, "sigma": sigma, "decibels": float(ratio)})
    return found


def frames(run: Run, plan: Plan, seed: int, report: Any) -> tuple[NDArray[np.float64], Any]:
    """The three rows of one trajectory.

    Args:
        run: A model of pictures.
        plan: Sampler and times.
        seed: Of the noise.
        report: Told (steps done, steps in all).

    Returns:
        (3, times, channels, rows, columns) in natural units, states scaled to the spread of data;
        and the numbers of the times.
    """
    process, times = run.denoiser.process, plan.grid
    denoiser = clipped(prompted(run), run.config["sampling"].get("clip"))
    randomness = generators(seed, [0])
    start = normal((1, *run.latent_shape), randomness) * process.sigma(times[0]).float()
    fresh = normal((1, *run.latent_shape), generators(seed, [0], "forward"))
    states, means = [], []
    walk = trajectory(denoiser, start, times, plan.sampler, randomness=randomness)
    for k, state in enumerate(walk):
        states.append(state.x)
        with torch.no_grad():
            means.append(denoiser(state.x, times[k]).mean if k < len(times) - 1 else state.x)
        report(k, len(times) - 1)
    rows = []
    for k, t in enumerate(times):
        alpha, sigma = (float(v) for v in process.scales(t))
        # States of one spread, whatever the process: that of data at t = 0.
        spread = float(np.hypot(alpha, sigma / DEVIATION))
        forward = alpha * states[-1] + sigma * fresh
        rows.append([states[k] / spread, means[k], forward / spread])
    decoded = [[run.codec.decode(x)[0].double().numpy() for x in row] for row in rows]
    return np.asarray(decoded).swapaxes(0, 1), instants(process, times)


def sheet(values: NDArray[np.float64], low: float, high: float) -> Picture:
    """The rows (3, times, channels, height, width) as one picture without gaps."""
    return np.concatenate(
        [np.concatenate([shown(x, low, high) for x in row], 1) for row in values], 0
    )


def write_trajectory(
    source: str, out: Path, sampler: str | None, steps: int | None, seed: int
) -> dict[str, Any]:
    """Write ``frames.png`` and ``frames.json`` into a new folder.

    Args:
        source: A run's folder, or a shipped prior.
        out: The new folder.
        sampler: A sampler by name; the run's own by default.
        steps: Sampler steps; the run's own by default.
        seed: Of the noise.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: The run makes no pictures, or a name is unknown.
    """
    with job(out) as work:
        run = open_run(source, "fp32")
        require_pixels(run, "A trajectory", "take a prior of pictures")
        if len(run.shape) != 3:
            raise InputError(f"{run.name} makes no pictures; take a prior of pictures.")
        plan = Plan.of(run, sampler, steps)
        values, times = frames(run, plan, seed, work.progress("sampling"))
        picture = sheet(values, *data_range(run))
        write_image(
            work.folder / "frames.png", picture[..., 0] if len(values[0, 0]) == 1 else picture
        )
        size = list(run.shape[1:])
        facts = {"size": size, "rows": ROWS, "times": times, "run": run.name, **plan.names}
        write_json(work.folder / "frames.json", facts)
        return work.end({"run": run.name, "seed": seed, **plan.names})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m unfog.lab.trajectory")
    parser.add_argument("prior")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sampler")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    alone(lambda: write_trajectory(told.prior, told.out, told.sampler, told.steps, told.seed))


if __name__ == "__main__":
    main()
