"""A whole scan through the command: time and peak memory of ``unfog dmri denoise``, beside DIPY's
MPPCA.

    python benchmarks/dmri_scan.py --out benchmarks/results/dmri_scan.json

The scan is the anatomical phantom laid side by side until it is 96 x 96 x 60 x 70, all of it head
(so nothing is saved on air), with Rician noise at SNR 20, as files. unfog runs in a process of its
own, from file to files with the report. MPPCA runs in one too, on a slab of that scan already in
memory, with one thread (with two, its small matrices take ten times as long), and its seconds are
multiplied by the voxels that the slab lacks, since it goes voxel by voxel. Wall seconds depend on
what else the machine does, so the load at the start is recorded; CPU seconds hardly do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dipy
import numpy as np
import torch
from record import write_record

import unfog
from unfog.core.random import generator
from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.dmri.simulation.phantom import make_phantom, real_gradients
from unfog.files.nifti import new_volume, write_nifti

SHAPE, SNR = (96, 96, 60), 20.0
MPPCA = (
    "import sys, numpy as np; from dipy.denoise.localpca import mppca; mppca(np.load(sys.argv[1]))"
)


def make_scan(folder: Path, slab: int) -> None:
    """dwi.nii.gz with its table, and the first ``slab`` planes as slab.npy."""
    table = real_gradients()
    phantom = make_phantom(table, 0)
    times = [-(-want // have) for want, have in zip(SHAPE, phantom.signal.shape, strict=False)]
    whole = np.tile(1000 / phantom.b0 * phantom.signal.astype(np.float32), (*times, 1))[
        : SHAPE[0], : SHAPE[1], : SHAPE[2]
    ]
    y = np.empty_like(whole)
    for k in range(len(table)):
        y[..., k] = add_magnitude_noise(
            torch.from_numpy(whole[None, ..., k]), 1000 / SNR, generator(0, "noise", k)
        )[0].numpy()
    write_nifti(folder / "dwi.nii.gz", y, new_volume(y, phantom.affine))
    write_fsl(table, folder / "dwi.bval", folder / "dwi.bvec", phantom.affine)
    np.save(folder / "slab.npy", np.ascontiguousarray(y[:, :, :slab]))


def spent(command: list[str], threads: int) -> dict[str, float]:
    """Wall and CPU seconds of a process and the most memory it held, GiB."""
    environment = {
        **os.environ,
        **{
            name: str(threads)
            for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        },
    }
    begun = time.perf_counter()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command[0]} ended with status {child.returncode}")
    wall = time.perf_counter() - begun
    return {
        "wall_s": round(wall, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gib": round(usage.ru_maxrss / 2**20, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--slab", type=int, default=12, help="planes that MPPCA gets; 0 leaves it out"
    )
    parser.add_argument(
        "--beside", default="nothing", help="what else the machine was doing, for the record"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        make_scan(here, options.slab)
        load = os.getloadavg()[0]
        table = ["--bvals", str(here / "dwi.bval"), "--bvecs", str(here / "dwi.bvec")]
        line = [
            sys.executable,
            "-m",
            "unfog",
            "dmri",
            "denoise",
            str(here / "dwi.nii.gz"),
            *table,
            "--out",
            str(here / "new"),
        ]
        figures: dict[str, Any] = {"unfog dmri denoise": spent(line, options.threads)}
        if options.slab:
            found = spent([sys.executable, "-c", MPPCA, str(here / "slab.npy")], 1)
            scaled = {
                key: round(found[key] * SHAPE[2] / options.slab, 1) for key in ("wall_s", "cpu_s")
            }
            figures["mppca"] = {**scaled, "measured on planes": options.slab, "measured": found}
    setting = {
        "scan": [*SHAPE, 70],
        "threads": options.threads,
        "cores": os.cpu_count(),
        "load before": round(load, 2),
    }
    write_record(
        {**setting, "beside": options.beside, "results": figures},
        (unfog, torch, np, dipy),
        options.out,
    )


if __name__ == "__main__":
    main()
