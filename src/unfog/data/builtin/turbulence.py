"""The data set ``turbulence``: decaying two-dimensional turbulence, simulated once and kept in the
cache.
"""

from __future__ import annotations

import sys
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from unfog.core.random import generators
from unfog.data.builtin.navier_stokes import Flow
from unfog.data.builtin.packages import cache_folder
from unfog.data.builtin.random_field import coloured, wavenumbers
from unfog.data.dataset import ArrayDataset, choose, datasets
from unfog.errors import InputError
from unfog.files.output import write_bytes

VISCOSITY, DT, PEAK, DEVIATION = 0.004, 0.02, 6.0, 5.0
TIMES = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
CODEC = {"name": "range", "low": -3.6, "high": 3.6}  # two standard deviations
CYCLE, OF_TEST, OF_VALIDATION = 14, 0, 7
SPLITS = ("train", "validation", "test")
TOGETHER = 16  # runs simulated at once
SIZE, RUNS, SEED = 64, 224, 0


def split_of(run: int) -> str:
    """The split that a simulation run belongs to, with all its times."""
    return {OF_TEST: "test", OF_VALIDATION: "validation"}.get(run % CYCLE, "train")


@datasets.register("turbulence")
class Turbulence(ArrayDataset):
    """Vorticity of decaying two-dimensional turbulence on a periodic square, (1, size, size).

    Each simulation run (``data.builtin.navier_stokes``, viscosity .004, steps of .02) starts from a
    Gaussian field of vortices about 1/6 of the square,

        P(k) ~ exp(-(|k| - 6)^2 / 8),      deviation 5,

    and gives samples at the times 3, 4, ... 8, while vortices merge and the deviation falls from
    2.6 to 1.4. Splits hold whole runs: of every 14 the first is for testing, the eighth for
    validation and the others for training. Samples are ordered by run, then by time; with 224 runs
    1152 are for training and 96 in each other split. ``run`` (samples,) is each sample's run.

    Args:
        split: ``train``, ``validation`` or ``test``.
        size: The points a side.
        runs: The simulation runs of all splits, 14 or more.
        seed: The seed of all runs.
    """

    def __init__(
        self, split: str = "train", size: int = SIZE, runs: int = RUNS, seed: int = SEED
    ) -> None:
        choose("The split of turbulence", split, SPLITS)
        if runs < CYCLE:
            raise InputError(f"The splits of turbulence need {CYCLE} runs or more, got {runs}.")
        # The runs of this split, and all times of each.
        mine = torch.tensor([run for run in range(runs) if split_of(run) == split])
        self.run = mine.repeat_interleave(len(TIMES))
        x = cached(size, runs, seed)[mine].flatten(0, 1)[:, None]
        super().__init__(
            "turbulence",
            x,
            CODEC,
            options={"split": split, "size": size, "runs": runs, "seed": seed},
        )


def cache_file(size: int = SIZE, runs: int = RUNS, seed: int = SEED) -> Path:
    """The file in the cache that keeps a simulation.

    Args:
        size: The points a side.
        runs: The number of runs.
        seed: The seed of all runs.

    Returns:
        Its path, whether it exists or not.
    """
    return cache_folder() / f"turbulence-{size}-{runs}-{seed}.safetensors"


def cached(size: int, runs: int, seed: int) -> Tensor:
    """The simulation from the cache, made first where it is not there.

    Args:
        size: The points a side.
        runs: The number of runs.
        seed: The seed of all runs.

    Returns:
        Vorticities (runs, times, size, size), float32.

    Raises:
        InputError: The cache cannot be written, or its file is damaged.
    """
    file = cache_file(size, runs, seed)
    # Simulate ``TOGETHER`` runs at once, and keep them.
    if not file.is_file():
        parts = []
        for first in range(0, runs, TOGETHER):
            parts.append(simulate(range(first, min(first + TOGETHER, runs)), size, seed))
            sys.stderr.write(f"turbulence: run {first + len(parts[-1])} of {runs} simulated\n")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(
                file,
                safetensors.torch.save({"vorticity": torch.cat(parts).float()}),
                overwrite=True,
            )
        except OSError as error:
            raise InputError(
                f"turbulence cannot be kept in the cache ({error.strerror}); free or choose a "
                "folder with UNFOG_CACHE."
            ) from error
    try:
        return safetensors.torch.load_file(file)["vorticity"]
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{file.name} in the cache is damaged; delete it, and it is simulated again."
        ) from error


def simulate(runs: range, size: int, seed: int) -> Tensor:
    """Simulate some of the runs; each is a function of (seed, run) alone.

    Args:
        runs: The numbers of the runs.
        size: The points a side.
        seed: The seed of all runs.

    Returns:
        Vorticities at ``TIMES``, (runs, times, size, size), float64.
    """
    k, flow, states = wavenumbers(size), Flow(size, VISCOSITY), list[Tensor]()
    # The initial Gaussian fields.
    power = torch.where(k > 0, torch.exp(-((k - PEAK) ** 2) / 8), 0.0)
    white = torch.stack(
        [
            torch.randn(size, size, generator=g, dtype=torch.float64)
            for g in generators(seed, runs, "turbulence")
        ]
    )
    vorticity, now = DEVIATION * coloured(white, power / power.sum()), 0.0
    # From one time to the next.
    for time in TIMES:
        vorticity, now = flow.run(vorticity, round((time - now) / DT), DT), time
        states.append(vorticity)
    return torch.stack(states, 1)
