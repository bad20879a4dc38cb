"""``unfog sample --repeat``: cloth that repeats without a seam, in files of a physical size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unfog.errors import InputError
from unfog.files.folder import Job
from unfog.files.formats import eight_bits
from unfog.files.numpy_files import write_array
from unfog.files.output import write_image
from unfog.files.prints import write_print
from unfog.files.scans import Look
from unfog.runs.run import Run, data_range, require_pixels
from unfog.textile.repeats import Repeat, sheet

LEAST = 16  # pixels of a cell's side


@dataclass(frozen=True)
class Cloth:
    """Cloth that is asked for.

    Args:
        repeat: How its cells repeat.
        canvas: Rows and columns that they cover.
        dpi: Dots an inch; None for pictures without a physical size.
    """

    repeat: Repeat
    canvas: tuple[int, int]
    dpi: float | None

    @classmethod
    def of(
        cls,
        run: Run,
        name: str,
        tile: Sequence[int] | None,
        shape: Sequence[int] | None,
        dpi: float | None,
    ) -> Cloth:
        """What a user asks for; a canvas that is no multiple of the repeat is rounded, with a
        warning.

        Args:
            run: The model, of pictures.
            name: ``square``, ``half-drop`` or ``brick``.
            tile: Rows and columns of a cell; the canvas's own by default, and without one the
                run's.
            shape: Rows and columns of the canvas; one period by default.
            dpi: Dots an inch, or None.

        Returns:
            The cloth.

        Raises:
            InputError: The run draws no pictures, or a size is none.
        """
        if len(run.shape) != 3:
            raise InputError(f"Repeats are of pictures, and {run.name} draws other samples.")
        require_pixels(run, "a repeat's offset", "take a run of pixels")
        for option, size in (("--tile", tile), ("--shape", shape)):
            if size is not None and (len(size) != 2 or min(size) < LEAST):
                raise InputError(
                    f"{option} of cloth is rows,columns of {LEAST} pixels or more, not "
                    f"{','.join(map(str, size))}."
                )
        rows, columns = tile or shape or run.shape[1:]
        repeat = Repeat(name, (rows, columns))
        if tile is None and shape is not None:  # one cell
            return cls(repeat, repeat.size, dpi)
        asked = tuple(shape or repeat.period)
        canvas = repeat.whole(asked)
        if canvas != asked:
            warnings.warn(
                f"A canvas of {_by(asked)} is no multiple of the {name} repeat's "
                f"{_by(repeat.period)}; it is made {_by(canvas)}.",
                stacklevel=2,
            )
        return cls(repeat, canvas, dpi)

    def write(self, work: Job, run: Run, x: Tensor) -> dict[str, Any]:
        """Write cells, the canvas that they cover, and with ``dpi`` prints and sheets.

        Args:
            work: The command's.
            run: The model.
            x: Cells in natural units, (cells, channels, rows, columns).

        Returns:
            What was written, for the summary.
        """
        write_array(work.folder / "samples.npy", x.numpy())
        cells = eight_bits(x.numpy(), Look(*data_range(run), (1.0,)))
        files = [file for k, cell in enumerate(cells) for file in self._files(k, cell)]
        for name, picture in files:
            if self.dpi is None:
                write_image(work.folder / name, picture)
            else:
                write_print(work.folder / name, picture, self.dpi)
        said: dict[str, Any] = {
            "repeat": self.repeat.name,
            "tile": list(self.repeat.size),
            "canvas": list(self.canvas),
            "files": [name for name, _ in files],
        }
        return said | ({} if self.dpi is None else {"dpi": self.dpi})

    def _files(self, k: int, cell: NDArray[np.uint8]) -> list[tuple[str, NDArray[np.uint8]]]:
        """The files of a cell, with their pictures."""
        cloth = self.repeat.cloth(cell, self.canvas)
        files = [(f"tile-{k:04d}.png", cell), (f"cloth-{k:04d}.png", cloth)]
        if self.dpi is not None:
            files.append((f"cloth-{k:04d}.tiff", cloth))
            files.append((f"sheet-{k:04d}.pdf", sheet(self.repeat, cloth, self.dpi)))
        return files


def _by(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
