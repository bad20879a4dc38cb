"""The demo's picture: measured, restored, truth and uncertainty for each task, over a row of new
slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from unfog.demo.restore import Outcome
from unfog.report import colour, grey
from unfog.report.pictures import Picture

COLUMNS = ("measured", "best baseline", "restored", "truth", "uncertainty")
TOP, LEFT, GAP = 40, 180, 10  # pixels: heights, widths and distances
SCALE, SMALL = 3, 2  # pixels a side of each of a slice's, in the tasks and in the row of samples
INK, QUIET = "#f2f4f6", "#9aa4ae"


def row_of(outcome: Outcome, truth: Tensor, index: int) -> list[Picture]:
    """The five pictures of a slice, in the order of ``COLUMNS``.

    Args:
        outcome: The task's restorations.
        truth: The slices, (n, 1, rows, columns).
        index: The number of the slice.

    Returns:
        The pictures.
    """
    return [
        grey(outcome.measured[index, 0]),
        grey(outcome.best.restored[index]),
        grey(outcome.restored.mean[index, 0]),
        grey(truth[index, 0]),
        colour(outcome.restored.std[index, 0], 0, spread(outcome)),
    ]


def spread(outcome: Outcome) -> float:
    """The standard deviation that is shown brightest: its 99th percentile in the region."""
    values = outcome.restored.std[outcome.region.expand_as(outcome.restored.std)]
    return float(values.quantile(0.99))


def lead_figure(outcomes: Sequence[Outcome], truth: Tensor, samples: Tensor) -> bytes:
    """The whole picture, light on black.

    Args:
        outcomes: The restorations, a row each.
        truth: The slices, (n, 1, rows, columns), of which the middle one is shown.
        samples: New slices, (m, 1, rows, columns), as many as fit.

    Returns:
        The content of a PNG file.
    """
    height, width = (SCALE * n for n in truth.shape[2:])
    low, narrow = (SMALL * n for n in truth.shape[2:])
    right = LEFT + len(COLUMNS) * (width + GAP) + GAP
    bottom = TOP + len(outcomes) * (height + GAP) + GAP
    canvas = Image.new("RGB", (right, bottom + low + GAP))
    pen = ImageDraw.Draw(canvas)
    # The names of the columns.
    for c, name in enumerate(COLUMNS):
        _centred(pen, LEFT + c * (width + GAP) + width // 2, TOP // 2, name, 20, INK)
    # A row for each task, with PSNR in the pictures of baseline and restoration.
    index = len(truth) // 2
    for r, outcome in enumerate(outcomes):
        y = TOP + r * (height + GAP)
        psnrs = [f"{float(score.psnr[index]):.1f} dB" for score in (outcome.baseline, outcome.ours)]
        notes = ["", *psnrs, "", ""]
        _centred(pen, LEFT // 2, y + height // 2, outcome.task.title.replace(" ", "\n"), 20, INK)
        for c, (picture, note) in enumerate(zip(row_of(outcome, truth, index), notes, strict=True)):
            x = LEFT + c * (width + GAP)
            _paste(canvas, picture, x, y, SCALE)
            pen.text((x + 8, y + height - 8), note, INK, ImageFont.load_default(17), "ls")
    # The row of samples.
    _centred(pen, LEFT // 2, bottom + low // 2, "new slices\nfrom noise", 20, INK)
    for c, sample in enumerate(samples[: (right - LEFT) // (narrow + GAP)]):
        _paste(canvas, grey(sample[0]), LEFT + c * (narrow + GAP), bottom, SMALL)
    file = BytesIO()
    canvas.save(file, "PNG", optimize=True)
    return file.getvalue()


def _paste(canvas: Image.Image, picture: Picture, x: int, y: int, scale: int) -> None:
    canvas.paste(Image.fromarray(picture.repeat(scale, 0).repeat(scale, 1)), (x, y))


def _centred(pen: ImageDraw.ImageDraw, x: int, y: int, text: str, size: int, ink: str) -> None:
    pen.text((x, y), text, ink, ImageFont.load_default(size), "mm", align="center")
