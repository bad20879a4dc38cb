"""``unfog sample`` of a run of art: canvases of any size, streamed to disk."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.errors import InputError
from unfog.files.folder import Job, job
from unfog.files.formats import eight_bits, read_scan
from unfog.files.output import write_image
from unfog.files.palette import read_palette
from unfog.files.prints import check_dpi
from unfog.files.scans import Look
from unfog.files.tiled_tiff import SIDE, write_tiled
from unfog.runs.canvas import Canvas, State, levels_of, plans_of, tiles_of
from unfog.runs.machine import AUTO
from unfog.runs.palette import towards
from unfog.runs.run import Run, data_range

SIZE = 1024  # pixels of a canvas's side, where none is asked for
PREVIEW = 1024  # pixels of a preview's longer side, at most


def sample_art(
    source: str | Path,
    count: int | None,
    out: Path,
    *,
    shape: Sequence[int] | None = None,
    base: Path | None = None,
    palette: Path | None = None,
    dpi: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Draw canvases into a new folder: tiled TIFF files and small previews. What is done of one
    lies beside the folder until all are drawn, so that a work that was killed goes on there.

    Args:
        source: A run of art.
        count: How many; 1 by default.
        out: The new folder.
        shape: Rows and columns; 1024 x 1024 by default.
        base: A picture that the first level enlarges, such as what a run with text drew.
        palette: A file of colours that canvases are drawn towards.
        dpi: Dots an inch.
        steps: Steps of the last level, the run's own by default; each before has twice as many.
        seed: Canvas k depends on (seed + k) alone.
        precision: Of the network.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: The canvas is too small, the base does not lead to it, or a file is none.
    """
    if dpi is not None:
        check_dpi(dpi)
    with job(out) as work:
        run = Run.open(source).in_precision(precision)
        start = None if base is None else _picture(run, base)
        levels = _levels(run, shape, start)
        loss = None if palette is None else towards(run, read_palette(palette))
        plans, drafts, files = plans_of(run, len(levels), steps), list[Path](), list[str]()
        for k in range(1 if count is None else count):
            told = [run.weights_sha256, run.precision, levels, plans[-1].names, seed + k]
            told += [str(palette and palette.read_text()), _digest(start)]
            drafts.append(_drafts(out, told))
            canvas = Canvas(run, drafts[-1], levels, plans, seed + k, start, loss)
            drawn = canvas.draw(work.progress(f"drawing canvas {k + 1}"))
            files += _write(work, run, drawn, k, dpi)
        summary = {
            "run": run.name,
            "canvases": len(drafts),
            "size": list(levels[-1]),
            "levels": [list(level) for level in levels],
            "seed": seed,
            **plans[-1].names,
            "precision": run.precision,
            **({} if base is None else {"base": base.name}),
            **({} if palette is None else {"palette": palette.name}),
            **({} if dpi is None else {"dpi": dpi}),
            "files": files,
        }
        result = work.end(summary)
    for folder in drafts:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _levels(run: Run, shape: Sequence[int] | None, start: Tensor | None) -> list[list[int]]:
    """The levels of a canvas; one that they do not lead to is rounded, with a warning."""
    asked = list(shape or (SIZE, SIZE))
    if run.shape[0] != 3:
        raise InputError(f"Canvases are in colour, and {run.name} draws other samples.")
    if len(asked) != 2:
        raise InputError(f"--shape of a canvas is rows,columns, not {','.join(map(str, asked))}.")
    levels = levels_of(run, asked, None if start is None else start.shape[1:])
    if levels[-1] != asked:
        warnings.warn(
            f"A canvas of {_by(asked)} is not what {len(levels) - 1} enlargements lead to; it is "
            f"made {_by(levels[-1])}.",
            stacklevel=3,
        )
    return levels


def _drafts(out: Path, depends: list[Any]) -> Path:
    """Where the states of a canvas lie while it is drawn: a hidden folder beside the new one, under
    the hash of all that it depends on.
    """
    digest = hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:16]
    return out.parent / f".unfog-canvas-{out.name}-{digest}"


def _digest(picture: Tensor | None) -> str:
    """What a picture is known by."""
    return "" if picture is None else hashlib.sha256(picture.numpy().tobytes()).hexdigest()


def _picture(run: Run, path: Path) -> Tensor:
    """The one picture in a file on the model's scale, (3, rows, columns)."""
    scan = read_scan(path, 2, run.shape[0])
    offset, scale = scan.units(*data_range(run))
    picture: Tensor = run.codec.encode((torch.from_numpy(scan.values).float() - offset) / scale)
    return picture[0]


def _write(work: Job, run: Run, drawn: State, k: int, dpi: float | None) -> list[str]:
    """Write a canvas as a tiled TIFF and a small preview; returns the files' names."""
    look = Look(*data_range(run), (1.0,))
    tiles = (eight_bits(tile[None].numpy(), look)[0] for tile in tiles_of(run, drawn, SIDE))
    rows, columns = drawn.shape[1:]
    name = f"canvas-{k:04d}"
    write_tiled(work.folder / f"{name}.tiff", (rows, columns), tiles, dpi)
    write_image(work.folder / f"{name}-preview.png", _preview(run, drawn, look))
    return [f"{name}.tiff", f"{name}-preview.png"]


def _preview(run: Run, drawn: State, look: Look) -> NDArray[np.uint8]:
    """The canvas averaged over whole cells, so that its longer side is at most ``PREVIEW``."""
    cell = -(-max(drawn.shape[1:]) // PREVIEW)
    rows, columns = (n // cell for n in drawn.shape[1:])
    small = np.empty((1, len(drawn), rows, columns), np.float32)
    for row in range(rows):
        band = np.array(drawn[:, row * cell : (row + 1) * cell, : columns * cell])
        small[0, :, row] = band.reshape(len(band), cell, columns, cell).mean((1, 3))
    preview: NDArray[np.uint8] = eight_bits(
        run.codec.decode(torch.from_numpy(small)).numpy(), look
    )[0]
    return preview


def _by(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
