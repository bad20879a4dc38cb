"""Canvases larger than memory: a run that draws a small picture and enlarges it again and again
(the condition ``low-resolution``), its states on disk, step by step.

A canvas is a function of the run, the seed and its size alone, and of a picture to begin with where
there is one. The state of the step at work lies in one file and the next in another, so that a work
that was killed goes on from the last whole step and ends in the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unfog.core.bands import Bands
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.low_resolution import enlarged
from unfog.core.random import generator, normal_like
from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.output import replace_durably
from unfog.progress import Report
from unfog.runs.clip import clipped
from unfog.runs.run import Run, require_pixels
from unfog.runs.sample import GuidingLoss, Plan
from unfog.runs.upsample import low_resolution_of
from unfog.sampling.ancestral import DDIM

SHARED = 4  # neighbouring windows share at least this part of their side
BLOCK = 64  # rows of noise that one generator draws
State = np.memmap[Any, np.dtype[np.float32]]


def levels_of(run: Run, size: Sequence[int], base: Sequence[int] | None = None) -> list[list[int]]:
    """Rows and columns of each level, the smallest first: by the run's factor from one to the
    next, the smallest no smaller than the run's own window, or that of a picture to begin with.

    Args:
        run: The model.
        size: Rows and columns of the canvas.
        base: Rows and columns of a picture to begin with, the level below the first.

    Returns:
        The levels; the sides of the last are those asked for, rounded to what the levels divide.

    Raises:
        InputError: The canvas is smaller than a window, or no enlargement of the picture.
    """
    factor, window = low_resolution_of(run)[1].factor, run.shape[1:]
    if any(n < side for n, side in zip(size, window, strict=True)):
        raise InputError(
            f"A canvas of {_by(size)} is smaller than the window of {_by(window)} that {run.name} "
            "was trained on; make it larger."
        )
    if base is not None:
        levels = [list(base)]
        while levels[-1][0] < size[0]:
            levels.append([factor * n for n in levels[-1]])
        if levels[-1] != list(size) or len(levels) < 2:
            raise InputError(
                f"{run.name} enlarges by {factor} again and again, and {_by(size)} is no such "
                f"enlargement of a picture of {_by(base)}."
            )
        return levels[1:]
    count = 0
    while all(n / factor ** (count + 1) >= s for n, s in zip(size, window, strict=True)):
        count += 1
    smallest = [max(s, round(n / factor**count)) for n, s in zip(size, window, strict=True)]
    return [[factor**k * n for n in smallest] for k in range(count + 1)]


@dataclass(frozen=True)
class Canvas:
    """A canvas that is drawn on disk.

    Args:
        run: A model with the condition ``low-resolution``, that knows its null.
        folder: Where its states lie, and lay where the work was cut off.
        levels: Rows and columns of each level, by ``levels_of``.
        plans: Times of each level; the steps are DDIM's.
        seed: The canvas is a function of it.
        base: A picture to begin with on the model's scale, (channels, rows, columns).
        loss: What estimates are guided down the slope of.
    """

    run: Run
    folder: Path
    levels: Sequence[Sequence[int]]
    plans: Sequence[Plan]
    seed: int = 0
    base: Tensor | None = None
    loss: GuidingLoss | None = None

    def draw(self, report: Report | None = None) -> State:
        """The canvas on the model's scale, (channels, rows, columns) on disk.

        Args:
            report: Told (shares of the work done, in all), in thousandths.

        Returns:
            The last level.

        Raises:
            InputError: The run works in a latent space, or knows no picture of low resolution.
        """
        require_pixels(self.run, "a canvas on disk", "take a run of pixels")
        low_resolution_of(self.run)
        self.folder.mkdir(parents=True, exist_ok=True)
        level, step = self._progress()
        areas = np.cumsum([0, *(rows * columns for rows, columns in self.levels)])
        for number in range(level, len(self.levels)):
            for k in range(step, self._steps(number)):
                self._step(number, k)
                self._mark(number, k + 1)
                if report is not None:
                    share = areas[number] + (k + 1) / self._steps(number) * np.diff(areas)[number]
                    report(int(1000 * share / areas[-1]), 1000)
            step = 0
        return self._drawn(len(self.levels) - 1)

    def _steps(self, level: int) -> int:
        """Steps of a level."""
        return len(self.plans[level].grid) - 1

    def _drawn(self, level: int) -> State:
        """A level that is done."""
        return self._open(level, self._steps(level))

    def _progress(self) -> tuple[int, int]:
        """The level at work and the steps of it that are done."""
        file = self.folder / "progress.json"
        if not file.is_file():
            return 0, 0
        told = json_text.read(file)
        return int(told["level"]), int(told["step"])

    def _mark(self, level: int, step: int) -> None:
        """Say that a step is done; both files are on disk by now."""
        replace_durably(
            self.folder / "progress.json", json.dumps({"level": level, "step": step}).encode()
        )

    def _file(self, level: int, step: int) -> Path:
        """Where the state of a level after so many steps lies: two files take turns."""
        last = "drawn" if step == self._steps(level) else f"state-{step % 2}"
        return self.folder / f"level-{level}-{last}.npy"

    def _open(self, level: int, step: int) -> State:
        """A state that is there."""
        state: State = np.load(self._file(level, step), mmap_mode="r", allow_pickle=False)
        return state

    def _new(self, level: int, step: int) -> State:
        """A state to be written."""
        shape = (self.run.shape[0], *self.levels[level])
        state: State = np.lib.format.open_memmap(
            self._file(level, step), mode="w+", dtype=np.float32, shape=shape
        )
        return state

    def _step(self, level: int, step: int) -> None:
        """One step of DDIM at a level, band by band."""
        t, s = self.plans[level].grid[step], self.plans[level].grid[step + 1]
        if step == 0:
            self._begin(level)
        before, after = self._open(level, step), self._new(level, step + 1)
        rows, columns = self.levels[level]
        for band, mean in self._bands(level)(_part_of(before), (rows, columns), t):
            x_t = torch.from_numpy(np.array(before[:, band]))
            known = _Known(self.run.denoiser, mean[None])
            x_s, _ = DDIM().step(known, x_t[None], t, s, (), [], {})
            after[:, band] = x_s[0].numpy()
        after.flush()

    def _begin(self, level: int) -> None:
        """Noise at the grid's first time, block by block, each by its own generator."""
        state = self._new(level, 0)
        sigma = float(self.run.denoiser.process.sigma(self.plans[level].grid[0]))
        for first in range(0, state.shape[1], BLOCK):
            rows = slice(first, min(first + BLOCK, state.shape[1]))
            like = torch.zeros(1, len(state), rows.stop - rows.start, state.shape[2])
            noise = normal_like(like, [generator(self.seed, "canvas", level, first)])
            state[:, rows] = (sigma * noise[0]).numpy()
        state.flush()

    def _bands(self, level: int) -> Bands:
        """The run's denoiser of a level's bands, told the level before."""
        name, part = low_resolution_of(self.run)
        denoiser: Denoiser = self.run.denoiser
        if self.loss is not None:
            denoiser = self.loss.guiding(denoiser)
        denoiser = clipped(denoiser, self.run.config["sampling"].get("clip"))
        side = min(self.run.shape[1:])
        small = self.base
        if level > 0:
            small = torch.from_numpy(np.array(self._drawn(level - 1)))
        tiles = Bands(denoiser, side, side // SHARED)
        if small is None:
            return tiles
        large = enlarged(small[None], self.levels[level])[0]
        return replace(
            tiles,
            maps={name: lambda rows, columns: large[:, rows, columns]},
            condition={f"{name}_{part.companion}": torch.zeros(1)},
        )


class _Known(Denoiser):
    """A denoiser whose mean at the x_t at hand is known."""

    def __init__(self, denoiser: Denoiser, mean: Tensor) -> None:
        super().__init__()
        self.process, self.mean = denoiser.process, mean

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        return Posterior(self.mean)


def _part_of(state: State) -> Any:
    """A state on disk, part by part."""
    return lambda rows, columns: torch.from_numpy(np.array(state[:, rows, columns]))


def plans_of(run: Run, levels: int, steps: int | None = None) -> list[Plan]:
    """The plans of so many levels: the last has ``steps``, the run's own by default, and each
    before it twice as many, which at a sixteenth of the area cost an eighth.
    """
    last = Plan.of(run, "ddim", steps).names["steps"]
    return [Plan.of(run, "ddim", last << (levels - 1 - k)) for k in range(levels)]


def tiles_of(run: Run, canvas: State, side: int) -> Iterator[Tensor]:
    """A canvas in natural units, tile by tile: (channels, side, side), those at the lower and the
    right border filled up with zeros.
    """
    for row in range(0, canvas.shape[1], side):
        for column in range(0, canvas.shape[2], side):
            part = np.array(canvas[:, row : row + side, column : column + side])
            natural = run.codec.decode(torch.from_numpy(part)[None])[0]
            tile = natural.new_zeros(len(part), side, side)
            tile[:, : part.shape[1], : part.shape[2]] = natural
            yield tile


def _by(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
