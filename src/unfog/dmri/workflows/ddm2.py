"""``unfog dmri denoise --method ddm2``: a scan denoised by what it alone has taught, from files to
files.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.ddm2 import Settings, ddm2, neighbours
from unfog.dmri.gradients import write_fsl
from unfog.dmri.rician import koay_inversion
from unfog.dmri.workflows.scan import Series, Tables
from unfog.files.folder import check_new, new_folder, write_summary
from unfog.progress import progress_line

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
    check_new(out)
    neighbours(tables.read(np.eye(4)))  # before anything large is read
    series = Series.open(dwi, tables, mask)
    data, gradients, inside, begun = (
        series.volume.data,
        series.gradients,
        series.inside,
        time.perf_counter(),
    )
    low = denoise(
        data,
        gradients,
        inside,
        coils=coils,
        unbias=unbias,
        report=progress_line("finding the noise"),
    )
    settings = Settings(steps=steps, seed=seed)
    found = ddm2(data, gradients, inside, settings, report=progress_line("learning the scan"))
    answers = []
    for signal in (found.signal, found.first):
        answer = (
            np.where(inside[..., None], koay_inversion(signal, low.sigma[..., None], coils), signal)
            if unbias
            else signal
        )
        answer[..., gradients.b0] = low.signal[..., gradients.b0]
        answers.append(answer)
    maps = {
        "dwi_denoised": answers[0],
        "first_stage": answers[1],
        "noise": low.sigma,
        "residual": data - answers[0],
        "mask": inside,
    }
    with new_folder(out) as folder:
        files = series.write(folder, {name: series.like(values) for name, values in maps.items()})
        write_fsl(
            gradients,
            folder / "dwi_denoised.bval",
            folder / "dwi_denoised.bvec",
            series.stored.affine,
        )
        options = {
            "method": "ddm2",
            "coils": coils,
            "bias removed": unbias,
            "steps": steps,
            "seed": seed,
        }
        state = float(np.median(found.levels[found.levels > 0]))
        summary = series.summary(low, **options, **{"noise of the matched state": state}) | {
            "files": files
        }
        summary["warnings"].append(ALONE)
        write_summary(folder, summary)
    return {"out": str(out), **summary, "seconds": round(time.perf_counter() - begun, 1)}
