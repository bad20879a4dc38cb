"""A canvas larger than a prior's training, in windows: memory, time and seams.

    python benchmarks/canvas.py textures --side 1024 --steps 12 --out JSON

The energy of differences between neighbours across what would be the borders of half-overlapping
windows in fixed places, over that elsewhere, along both axes; and how that ratio varies at other
offsets, where there is nothing to be seen.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from record import write_record

import unfog
from unfog.builtin import open_run
from unfog.runs.machine import processor
from unfog.workflows.sample import sample_run


def ratios(x: np.ndarray, axis: int, stride: int) -> list[float]:
    """Of each offset within a window's stride: the energy of differences there over all."""
    steps = np.moveaxis(np.square(np.diff(x, axis=axis)), axis, 0)
    energy = steps.reshape(len(steps), -1).mean(1)
    return [float(energy[o::stride].mean() / energy.mean()) for o in range(stride)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    stride, begun = open_run(options.run).shape[1] // 2, time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        out, shape = Path(folder) / "canvas", [options.side] * 2
        sample_run(options.run, 1, out, shape=shape, windows=True, steps=options.steps)
        x = np.load(out / "samples.npy")[0].astype(float)
    found = [ratios(x, axis, stride) for axis in (1, 2)]
    figures = {
        "processor": processor(),
        "side": options.side,
        "steps": options.steps,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "cpu_seconds": time.process_time() - begun,
        "seams": [one[-1] for one in found],
        "other_offsets_deviation": [float(np.std(one[:-1])) for one in found],
    }
    write_record(figures, (unfog, torch), options.out)


if __name__ == "__main__":
    main()
