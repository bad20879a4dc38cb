"""One picture of what the demo does: measured, restored, truth and uncertainty for each task, over
a row of new slices.
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
# pixels; a small slice is of those in the row of samples
TOP, LEFT, GAP, SCALE, SMALL = (40, 180, 10, 3, 2)
INK, QUIET = "#f2f4f6", "#9aa4ae"


def row_of(outcome: Outcome, truth: Tensor, index: int) -> list[Picture]:
    """The five pictures of a slice, in the order of ``COLUMNS``."""
    classical = outcome.best.restored[index]
    greys = [
        grey(x)
        for x in (
            outcome.measured[index, 0],
            classical,
            outcome.restored.mean[index, 0],
            truth[index, 0],
        )
    ]
    return [*greys, colour(outcome.restored.std[index, 0], 0, spread(outcome))]


def spread(outcome: Outcome) -> float:
    """The standard deviation that is shown brightest: nearly the largest in the region."""
    values = outcome.restored.std[outcome.region.expand_as(outcome.restored.std)]
    return float(values.quantile(0.99))


def lead_figure(outcomes: Sequence[Outcome], truth: Tensor, samples: Tensor) -> bytes:
    """The picture as a PNG file, light on black."""
    height, width = (SCALE * n for n in truth.shape[2:])
    low, narrow = (SMALL * n for n in truth.shape[2:])
    right = LEFT + len(COLUMNS) * (width + GAP) + GAP
    bottom = TOP + len(outcomes) * (height + GAP) + GAP
    canvas = Image.new("RGB", (right, bottom + low + GAP))
    pen = ImageDraw.Draw(canvas)
    for c, name in enumerate(COLUMNS):
        _centred(pen, LEFT + c * (width + GAP) + width // 2, TOP // 2, name, 20, INK)
    for r, outcome in enumerate(outcomes):
        y, index = TOP + r * (height + GAP), len(truth) // 2
        notes = [
            "",
            f"{float(outcome.baseline.psnr[index]):.1f} dB",
            f"{float(outcome.ours.psnr[index]):.1f} dB",
            "",
            "",
        ]
        _centred(pen, LEFT // 2, y + height // 2, outcome.task.title.replace(" ", "\n"), 20, INK)
        for c, (picture, note) in enumerate(zip(row_of(outcome, truth, index), notes, strict=True)):
            x = LEFT + c * (width + GAP)
            _paste(canvas, picture, x, y, SCALE)
            pen.text((x + 8, y + height - 8), note, INK, ImageFont.load_default(17), "ls")
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
