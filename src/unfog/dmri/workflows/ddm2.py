"""``unfog dmri denoise --method ddm2``: a scan denoised by DDM2 (Xiang et al. 2023), a diffusion
model trained on this scan alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.denoising.classical import Denoised
from unfog.dmri.denoising.ddm2 import Settings, ddm2, neighbours
from unfog.dmri.rician import koay_inversion
from unfog.dmri.workflows.scan import Series
from unfog.dmri.workflows.tables import Tables
from unfog.files.folder import job

ALONE = (
    "Learned from this scan alone, with nothing else to go by: compare it with the residual "
    "before you trust fine detail."
)


def ddm2_file(
    dwi: Path,
    tables: Tables,
    out: Path,
    *,
    mask: Path | None = None,
    coils: int | None = None,
    unbias: bool = True,
    steps: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Denoise a scan by DDM2 into a new folder; low rank estimates the noise, and denoises the
    volumes at b = 0.

    The folder holds dwi_denoised and its table, first_stage (the prediction of each volume from the
    others), noise, residual, mask and summary.json.

    Args:
        dwi: The scan.
        tables: Its gradients.
        out: The new folder.
        mask: A file above 0 where to work; the head is found without one.
        coils: Channels combined by sum of squares; read from the air by default.
        unbias: Whether what noise adds to magnitudes is taken away.
        steps: Training steps of each of the two networks.
        seed: Of the training and of the samples.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: A file cannot be read, or the table has too few directions.
    """
    with job(out, dwi, *tables.files, mask) as work:
        neighbours(tables.read(np.eye(4)))  # before anything large is read
        series = Series.open(dwi, tables, mask)
        data, gradients, inside = series.volume.data, series.gradients, series.inside
        low = series.low_rank(coils, unbias, work.progress("finding the noise"))
        settings = Settings(steps=steps, seed=seed)
        learned = ddm2(data, gradients, inside, settings, report=work.progress("learning the scan"))
        signal, first = (_finished(x, low, series) for x in (learned.signal, learned.first))
        maps = {
            "dwi_denoised": signal,
            "first_stage": first,
            "noise": low.sigma,
            "residual": data - signal,
            "mask": inside,
        }
        volumes = {name: series.like(values) for name, values in maps.items()}
        files = series.write(work.folder, volumes)
        series.write_table(work.folder / "dwi_denoised", gradients)
        options = {
            "method": "ddm2",
            "steps": steps,
            "seed": seed,
            "noise of the matched state": float(np.median(learned.levels[learned.levels > 0])),
        }
        summary = series.summary(low, **options) | {"files": files}
        summary["warnings"].append(ALONE)
        return work.end(summary)


def _finished(signal: NDArray[Any], low: Denoised, series: Series) -> NDArray[Any]:
    """The volumes of a stage, without bias as low rank's, with those of low rank at b = 0."""
    inside, b0 = series.inside, series.gradients.b0
    if low.unbiased:
        corrected = koay_inversion(signal, low.sigma[..., None], low.coils)
        signal = np.where(inside[..., None], corrected, signal)
    signal[..., b0] = low.signal[..., b0]
    return signal
