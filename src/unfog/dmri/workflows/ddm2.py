"""``unfog dmri denoise --method ddm2``: a scan denoised by what it alone has taught, from files to
files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.ddm2 import Settings, ddm2, neighbours
from unfog.dmri.rician import koay_inversion
from unfog.dmri.workflows.scan import Series, Tables
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
    coils: int = 1,
    unbias: bool = True,
    steps: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Denoise a scan into the new folder ``out``; low rank finds the noise, and denoises the
    volumes at b = 0.

    It holds dwi_denoised and its table, first_stage (what the other volumes alone say), noise,
    residual, mask and summary.json.
    """
    with job(out) as work:
        neighbours(tables.read(np.eye(4)))  # before anything large is read
        series = Series.open(dwi, tables, mask)
        data, gradients, inside = series.volume.data, series.gradients, series.inside
        low = denoise(
            data,
            gradients,
            inside,
            coils=coils,
            unbias=unbias,
            report=work.progress("finding the noise"),
        )
        settings = Settings(steps=steps, seed=seed)
        learned = ddm2(data, gradients, inside, settings, report=work.progress("learning the scan"))
        answers = []
        for signal in (learned.signal, learned.first):
            answer = signal
            if unbias:
                corrected = koay_inversion(signal, low.sigma[..., None], coils)
                answer = np.where(inside[..., None], corrected, signal)
            answer[..., gradients.b0] = low.signal[..., gradients.b0]
            answers.append(answer)
        maps = {
            "dwi_denoised": answers[0],
            "first_stage": answers[1],
            "noise": low.sigma,
            "residual": data - answers[0],
            "mask": inside,
        }
        volumes = {name: series.like(values) for name, values in maps.items()}
        files = series.write(work.folder, volumes)
        series.write_table(work.folder / "dwi_denoised", gradients)
        options = {
            "method": "ddm2",
            "coils": coils,
            "bias removed": unbias,
            "steps": steps,
            "seed": seed,
            "noise of the matched state": float(np.median(learned.levels[learned.levels > 0])),
        }
        summary = series.summary(low, **options) | {"files": files}
        summary["warnings"].append(ALONE)
        return work.end(summary)
