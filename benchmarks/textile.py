"""Cloth that repeats: seams, edges, spectra, and whether scale, rotation and palette are obeyed.

    python benchmarks/textile.py RUN --cells 16 --out JSON --figure PNG

Cells of 64 x 64 pixels, or others, of every material, at scales and rotations like those of the
training data, are laid out over 1024 x 1024. A seam's energy is that of the differences of
neighbours across a cell's border, over that of all; its standard error is over cells. Spectra are
of the luma, each square's less its mean and over its deviation, under a Hann window, against the
squares of the split train, in bands of one ratio.
"""

from __future__ import annotations

import argparse
import itertools
import math
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from record import write_record
from torch import Tensor

import unfog
from unfog.builtin import open_run
from unfog.data.dataset import Dataset, open_dataset
from unfog.runs.machine import processor
from unfog.runs.palette import towards
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.textile.repeats import SHIFTS, Repeat

SIDE, CANVAS = 64, 1024
BANDS = np.geomspace(1.5 / SIDE, 0.5, 8)
INKS = np.array([[24, 40, 84], [214, 92, 60], [246, 233, 205]], np.uint8)


def wishes(data: Dataset, count: int) -> dict[str, Tensor]:
    """Materials, scales and rotations as the data have them, for so many cells; nothing of data
    that have none.
    """
    batch = data.batch(range(count))
    return {name: batch[name] for name in data.conditions}


def luma(x: np.ndarray) -> np.ndarray:
    """(n, 1 or 3, rows, columns) as (n, rows, columns)."""
    return x[:, 0] if x.shape[1] == 1 else np.tensordot(x, np.array([0.299, 0.587, 0.114]), (1, 0))


def across(x: np.ndarray, repeat: Repeat) -> list[np.ndarray]:
    """The squared differences of neighbours that the cells x (n, rows, columns) have in the plane:
    down and across, the last row and column being those over the cell's border.
    """
    down, right = repeat.offset
    below = np.concatenate([x[:, 1:], np.roll(x[:, :1], right, 2)], 1)
    beside = np.concatenate([x[:, :, 1:], np.roll(x[:, :, :1], down, 1)], 2)
    return [np.square(below - x), np.square(beside - x)]


def seams(x: np.ndarray, repeat: Repeat) -> dict[str, float]:
    """The energy across a cell's borders over that of all, and its standard error over cells; and
    that of a cell whose borders do not fit: laid out squarely if it was not, and else half-dropped.
    """
    rows, columns = across(x, repeat)
    scale = (rows.mean((1, 2)) + columns.mean((1, 2))) / 2
    border = (rows[:, -1].mean(1) + columns[:, :, -1].mean(1)) / 2
    ratio = border / scale
    wrong = Repeat("half-drop" if repeat.name == "square" else "square", repeat.size)
    badly = [
        part[:, -1].mean(1) if k == 0 else part[:, :, -1].mean(1)
        for k, part in enumerate(across(x, wrong))
    ]
    return {
        "seam": float(border.mean() / scale.mean()),
        "standard_error": float(ratio.std(ddof=1) / math.sqrt(len(x))),
        "laid_out_wrongly": float(np.mean(badly) / scale.mean()),
    }


def spectrum(x: np.ndarray) -> np.ndarray:
    """Mean power a band of squares (n, 64, 64), each less its mean and over its deviation."""
    window = np.hanning(SIDE)[:, None] * np.hanning(SIDE)
    x = x - x.mean((1, 2), keepdims=True)
    x = x / x.std((1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(x * window)) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE)] * 2))
    edges = itertools.pairwise(BANDS)
    return np.array([power[:, (frequency >= a) & (frequency < b)].mean() for a, b in edges])


def squares(cells: np.ndarray) -> np.ndarray:
    """The squares (n, 64, 64) of cells, half a square apart."""
    starts = range(0, cells.shape[1] - SIDE + 1, SIDE // 2)
    return np.concatenate([cells[:, r : r + SIDE, c : c + SIDE] for r in starts for c in starts])


def turn_of(x: np.ndarray) -> float:
    """The direction of the strongest slope by the structure tensor, in degrees."""
    down, right = np.gradient(x)
    return math.degrees(0.5 * math.atan2(-2 * (down * right).sum(), (right**2 - down**2).sum()))


def turns(run: Run, plan: Plan, cells: int) -> dict[str, float]:
    """Rotations asked of brick, whose strongest slope is across its long joints, and found."""
    asked = torch.linspace(-35, 35, cells)
    told = {
        "label": torch.zeros(cells, dtype=torch.long),
        "property": torch.stack([torch.full((cells,), -0.5), asked / (90 / math.sqrt(12))], 1),
    }
    x = luma(draw(run, plan, range(cells), 3, condition=told).numpy())
    found = np.array([turn_of(one) for one in x])
    # Directions are the same after half a turn.
    gap = (found - asked.numpy() + 90) % 180 - 90
    return {"median_error": float(np.median(np.abs(gap))), "cells": cells}


def palettes(run: Run, plan: Plan, cells: int) -> tuple[dict[str, float], np.ndarray]:
    """Distances of pixels to the nearest ink, in grey levels, with a palette and without."""
    told = {"label": torch.arange(cells) % 3, "property": torch.zeros(cells, 2)}
    distances, drawn = [], []
    for loss in (None, towards(run, INKS)):
        x = draw(run, plan, range(cells), 4, condition=told, loss=loss).numpy()
        gaps = np.linalg.norm(x[:, None] - INKS[None, :, :, None, None].astype(float), axis=2)
        distances.append(float(gaps.min(1).mean()))
        drawn.append(x)
    return {"without": distances[0], "with": distances[1]}, drawn[1]


def fits(cloth: np.ndarray, repeat: Repeat) -> bool:
    """Whether a canvas goes on by its rule to the pixel, one cell further and over its border."""
    (rows, columns), (down, right) = repeat.size, repeat.offset
    further = np.roll(cloth, (-down, -columns), (0, 1)), np.roll(cloth, (-rows, -right), (0, 1))
    return all(np.array_equal(one, cloth) for one in further)


def pixels(x: np.ndarray) -> np.ndarray:
    """(1 or 3, rows, columns) as bytes (rows, columns, 3)."""
    colour = 255 * np.broadcast_to(x, (3, *x.shape[1:])) if len(x) == 1 else x
    return np.moveaxis(colour.clip(0, 255).round().astype(np.uint8), 0, 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--cells", type=int, default=32)
    parser.add_argument("--cell", type=int, default=64, help="Pixels of a cell's side.")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--sampler")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    begun, run = time.process_time(), open_run(options.run)
    plan = Plan.of(run, options.sampler, options.steps)
    coloured = run.shape[0] == 3
    data = open_dataset("swatches" if coloured else "textures")
    told, found, canvases, all_cells = wishes(data, options.cells), {}, [], []
    for number, name in enumerate(SHIFTS):
        repeat = Repeat(name, (options.cell, options.cell))
        ids = range(number * options.cells, (number + 1) * options.cells)
        shape = (run.shape[0], *repeat.size)
        x = draw(run, plan, ids, 0, condition=told, shape=shape, repeat=repeat.offset).numpy()
        cloths = [repeat.cloth(pixels(one), (CANVAS, CANVAS)) for one in x[:3]]
        found[name] = {
            **seams(luma(x), repeat),
            "edges_match": all(fits(cloth, repeat) for cloth in cloths),
        }
        canvases.append(cloths[number % 3])
        all_cells.append(luma(x))
    some = np.linspace(0, len(data) - 1, 1500).astype(int)
    reference = luma(data.batch(some)["x"].numpy())
    ratios = spectrum(squares(np.concatenate(all_cells))) / spectrum(reference)
    plain = draw(run, plan, range(3 * options.cells), 5, condition=wishes(data, 3 * options.cells))
    figures: dict[str, Any] = {
        "processor": processor(),
        "run": {"steps": run.config["training"]["steps"], "weights": run.weights_sha256[:16]},
        "plan": dict(plan.names),
        "cells": options.cells,
        "cell": options.cell,
        "repeats": found,
        "spectrum_over_swatches": ratios.tolist(),
        "spectrum_of_single_squares": (
            spectrum(luma(plain.numpy())) / spectrum(reference)
        ).tolist(),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    picture = np.concatenate([cloth[:384, :384] for cloth in canvases], 1)
    if coloured:  # what a model of swatches is told besides
        figures["rotation_in_degrees"] = turns(run, plan, 12)
        figures["palette_distance"], inks = palettes(run, plan, 6)
        row = Image.fromarray(np.concatenate([pixels(x) for x in inks], 1))
        wide = row.resize((picture.shape[1], picture.shape[1] // 6))
        picture = np.concatenate([picture, np.asarray(wide)])
    figures["cpu_seconds"] = time.process_time() - begun
    write_record(figures, (unfog, torch), options.out)
    if options.figure is not None:
        Image.fromarray(picture).save(options.figure)


if __name__ == "__main__":
    main()
