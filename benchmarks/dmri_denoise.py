"""Denoising of diffusion MRI beside DIPY's MPPCA, localpca and Patch2Self (and MRtrix's dwidenoise,
where it is) in one run.

    python benchmarks/dmri_denoise.py
    # SNR 20, one seed, white Rician noise
    python benchmarks/dmri_denoise.py --snr 10 20 30 --seeds 2 --noise varying
    python benchmarks/dmri_denoise.py --methods low-rank mppca --noise correlated
    python benchmarks/dmri_denoise.py --prior runs/dmri
    # and a trained prior, a run or a shipped one
    python benchmarks/dmri_denoise.py --scan multi-shell multi-tensor force  # other tables, and
    simulators of others
    python benchmarks/dmri_denoise.py --noise varying correlated --snr 10 15 20 30 --seeds 3 --prior
    dmri --out results.json

Everything is measured on the anatomical phantom, whose truth is exact; every method sees the same
noise and is told nothing of it. A new seed draws a new phantom. CPU seconds are those of the
process and its children; "mppca + koay" goes on from what "mppca" left, so its seconds are those of
the correction alone. Ratios to MPPCA's error are of means over the seeds, with the least and the
greatest of a seed beside them. A file --out holds what is done so far, and the same command goes on
from there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dipy
import nibabel as nib
import numpy as np
import torch
from record import command, write_record

import unfog
from unfog.core.denoiser import InBfloat16
from unfog.core.random import generator
from unfog.dmri import harmonics
from unfog.dmri.checks.errors_to_truth import ErrorsToTruth, errors_to_truth
from unfog.dmri.denoising.blind import denoise_blind
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.low_rank import optimal_shrinkage
from unfog.dmri.denoising.noise_level import gaussian_level
from unfog.dmri.gradients import GradientTable
from unfog.dmri.rician import koay_inversion
from unfog.dmri.simulation.anatomy import mni_anatomy
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.dmri.simulation.phantom import Phantom, make_phantom, real_gradients
from unfog.runs.run import Run

Array = Any
OPTIONAL = "dwidenoise"  # of MRtrix, no Python package
NOISES = ("white", "varying", "correlated", "chi")
RATIOS = ("signal", "fa", "md", "angle", "cpu_seconds")
SMALL = (24, 24, 16)


def single_shell(seed: int) -> Phantom:
    """48 x 48 x 24 x 70, the directions of small_64D at b = 1000 and 6 b = 0."""
    return make_phantom(real_gradients(), seed)


def small(seed: int) -> Phantom:
    """24 x 24 x 16 x 70, the directions of small_64D at b = 1000 and 6 b = 0."""
    return make_phantom(real_gradients(), seed, mni_anatomy(SMALL))


def multi_shell(seed: int) -> Phantom:
    """24 x 24 x 16 x 96: 30 directions in each of three shells."""
    sphere = harmonics.fibonacci(180).numpy()
    directions = np.concatenate([np.zeros((6, 3)), *(sphere[k:90:3] for k in range(3))])
    bvals = np.append(np.zeros(6), np.repeat([1000.0, 2000.0, 3000.0], 30))
    return make_phantom(GradientTable(bvals, directions), seed, mni_anatomy(SMALL))


def multi_tensor(seed: int) -> Phantom:
    """24 x 24 x 16 x 70 by DIPY's simulator of tensors, fibres and tissues where the phantom has
    them.
    """
    from dipy.sims.voxel import multi_tensor as signal_of

    phantom = make_phantom(real_gradients(), seed, mni_anatomy(SMALL))
    table, signal = dipy_table(phantom.gradients), np.zeros(phantom.signal.shape)
    fibre, isotropic = [1.7e-3, 0.3e-3, 0.3e-3], [[d] * 3 for d in (0.8e-3, 3e-3, 1.3e-3)]
    for at in np.argwhere(phantom.mask):
        axes, shares = phantom.directions[tuple(at)], 100 * phantom.fractions[tuple(at)]
        signal[tuple(at)], _ = signal_of(
            table,
            np.array([fibre] * 3 + isotropic),
            S0=1.0,
            angles=np.concatenate([axes, np.eye(3)]),
            fractions=shares,
            snr=None,
        )
    return replace(phantom, signal=signal)


def force(seed: int) -> Phantom:
    """16 x 16 x 12 x 70 by DIPY's FORCE: three compartments, and fibres drawn for each voxel by
    itself, as they are in no brain.

    DIPY seeds it by the clock: ``seed`` is that of the noise alone.
    """
    from dipy.sims.force import generate_force_simulations

    gradients, shape = real_gradients(), (16, 16, 12)
    with tempfile.TemporaryDirectory() as folder:
        found = generate_force_simulations(
            dipy_table(gradients),
            num_simulations=int(np.prod(shape)),
            output_dir=folder,
            num_cpus=1,
            compute_dti=False,
            verbose=False,
        )
    fractions = np.zeros((*shape, 6))
    for k, name in ((0, "wm_fraction"), (3, "gm_fraction"), (4, "csf_fraction")):
        fractions[..., k] = found[name].reshape(shape)
    signal = found["signals"].reshape(*shape, -1).astype(np.float64) / 100
    return Phantom(
        signal,
        gradients,
        np.zeros((*shape, 3, 3)),
        fractions,
        np.ones(shape, bool),
        fractions[..., 0] > 0.7,
        np.diag([2.0, 2, 2, 1]),
    )


SCANS = {
    "single-shell": single_shell,
    "small": small,
    "multi-shell": multi_shell,
    "multi-tensor": multi_tensor,
    "force": force,
}


def noisy(phantom: Phantom, snr: float, kind: str, seed: int) -> Array:
    """The phantom with Rician noise: white, up to three times stronger on one side, correlated as
    in small_64D, or of 4 coils.
    """
    sigma = torch.full(phantom.mask.shape, phantom.b0 / snr)
    if kind == "varying":
        sigma *= torch.linspace(0.5, 1.5, len(sigma))[:, None, None]
    correlation, coils = (
        (0.26, 0.1, 0) if kind == "correlated" else (0, 0, 0),
        4 if kind == "chi" else 1,
    )
    signal = torch.from_numpy(phantom.signal).float().movedim(3, 0)
    return (
        add_magnitude_noise(signal, sigma, generator(seed, "noise"), coils, correlation)
        .movedim(0, 3)
        .numpy()
    )


class Mppca:
    """DIPY's, run once a scan: bare, and with Koay's inversion at its own noise level."""

    def __init__(self, coils: int) -> None:
        self.coils = coils

    def bare(self, y: Array, gradients: GradientTable) -> Array:
        from dipy.denoise.localpca import mppca as run

        self.x, self.level = run(y, return_sigma=True)
        return self.x

    def corrected(self, y: Array, gradients: GradientTable) -> Array:
        inside = torch.ones(self.level.shape, dtype=torch.bool)
        return koay_inversion(
            self.x, gaussian_level(self.level, self.x, inside, self.coils)[..., None], self.coils
        )


def localpca(y: Array, gradients: GradientTable) -> Array:
    from dipy.denoise.localpca import localpca as run
    from dipy.denoise.pca_noise_estimate import pca_noise_estimate

    return run(
        y,
        sigma=pca_noise_estimate(y, dipy_table(gradients), correct_bias=True, smooth=3),
        tau_factor=2.3,
    )


def patch2self(y: Array, gradients: GradientTable) -> Array:
    from dipy.denoise.patch2self import patch2self as run

    return run(y, gradients.bvals, verbose=False)


def dipy_table(gradients: GradientTable) -> Any:
    from dipy.core.gradients import gradient_table

    return gradient_table(gradients.bvals, bvecs=gradients.directions)


def dwidenoise(y: Array) -> Array:
    """MRtrix's, through files."""
    with tempfile.TemporaryDirectory() as scratch:
        here, there = Path(scratch) / "in.nii", Path(scratch) / "out.nii"
        nib.save(nib.Nifti1Image(y, np.eye(4)), here)
        subprocess.run(["dwidenoise", "-quiet", "-nthreads", "0", here, there], check=True)
        return np.asarray(nib.load(there).get_fdata(dtype=np.float32))


def with_prior(
    source: str | None, coils: int
) -> dict[str, Callable[[Array, GradientTable], Array]]:
    """The trained prior, if one is given."""
    if source is None:
        return {}
    denoiser = InBfloat16(Run.open(source).denoiser)
    return {"prior": lambda y, g: denoise_blind(denoiser, y, g, coils=coils).signal}


def all_methods(
    coils: int, prior: str | None = None
) -> dict[str, Callable[[Array, GradientTable], Array]]:
    """Each takes noisy data and its table; ours take the noise model too, as its users do."""
    mppca = Mppca(coils)
    found: dict[str, Callable[[Array, GradientTable], Array]] = {
        "noisy": lambda y, g: y,
        "low-rank": lambda y, g: denoise(y, g, coils=coils).signal,
        "low-rank, shrunk": lambda y, g: denoise(y, g, coils=coils, rule=optimal_shrinkage).signal,
        "patch2self": patch2self,
        "mppca": mppca.bare,
        "mppca + koay": mppca.corrected,
        "localpca": localpca,
    }
    return (
        found
        | with_prior(prior, coils)
        | ({OPTIONAL: lambda y, g: dwidenoise(y)} if shutil.which(OPTIONAL) else {})
    )


def cpu() -> float:
    return sum(os.times()[:4])


def compare(
    scan: str, snr: float, kind: str, seeds: int, names: list[str], prior: str | None
) -> dict[str, Any]:
    """The mean measures over the seeds, with CPU seconds, and their ratios to MPPCA's; methods take
    turns.
    """
    methods = {
        name: method
        for name, method in all_methods(4 if kind == "chi" else 1, prior).items()
        if name in [*names, "prior"]
    }
    rows: dict[str, list[list[float]]] = {name: [] for name in methods}
    for seed in range(seeds):
        phantom = SCANS[scan](seed)
        y = noisy(phantom, snr, kind, seed)
        for name, method in methods.items():
            begun = cpu()
            found = method(y.copy(), phantom.gradients)
            seconds = cpu() - begun
            rows[name].append([*errors_to_truth(found, phantom), seconds])
            told = " ".join(f"{v:.4g}" for v in rows[name][-1])
            sys.stderr.write(f"{scan} SNR {snr:g} {kind} seed {seed} {name}: {told}\n")
    fields = [*ErrorsToTruth._fields, "cpu_seconds"]
    table = {name: np.array(found) for name, found in rows.items()}
    means: dict[str, Any] = {
        name: dict(zip(fields, found.mean(0).round(5).tolist(), strict=True))
        for name, found in table.items()
    }
    for name in means if "mppca" in means else ():
        of = {
            key: (table[name][:, k], table["mppca"][:, k])
            for k, key in enumerate(fields)
            if key in RATIOS
        }
        means[name]["ratio_to_mppca"] = {
            key: round(float(a.mean() / b.mean()), 4) for key, (a, b) in of.items()
        }
        means[name]["ratio_by_seed"] = {
            key: [round(float(r), 4) for r in (min(a / b), max(a / b))]
            for key, (a, b) in of.items()
        }
    return means


def done_before(out: Path | None) -> dict[str, Any]:
    """What the same command finished in a file."""
    record = json.loads(out.read_text()) if out is not None and out.is_file() else {}
    return dict(record["results"]) if record.get("command") == command() else {}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--snr", type=float, nargs="+", default=[20])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--noise", choices=NOISES, nargs="+", default=["white"])
    parser.add_argument("--scan", choices=list(SCANS), nargs="+", default=["single-shell"])
    parser.add_argument(
        "--methods", nargs="+", default=list(all_methods(1)), choices=list(all_methods(1))
    )
    parser.add_argument("--prior", help="a run of dmri-prior, or a shipped prior")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    units = {
        "signal": "RMSE, % of white-matter b0",
        "fa": "RMSE",
        "md": "RMSE, 1e-3 mm^2/s",
        "angle": "mean, degrees",
        "bias": "mean error",
    }
    data = {scan: SCANS[scan].__doc__ for scan in options.scan}
    asked = [
        (scan, snr, kind) for scan in options.scan for kind in options.noise for snr in options.snr
    ]
    absent = [] if shutil.which(OPTIONAL) else [OPTIONAL]
    if absent:
        sys.stderr.write(f"{OPTIONAL} of MRtrix is not on the PATH: left out\n")
    results = done_before(options.out)
    for scan, snr, kind in asked:
        if (cell := f"{scan} {kind} {snr:g}") in results:
            continue
        results[cell] = compare(scan, snr, kind, options.seeds, options.methods, options.prior)
        if options.out or len(results) == len(asked):  # a file holds what is done so far
            told = {
                "seeds": options.seeds,
                "absent": absent,
                "asked": len(asked),
                "done": len(results),
            }
            write_record(
                {"data": data, "units": units, **told, "results": results},
                (unfog, torch, np, dipy),
                options.out,
            )


if __name__ == "__main__":
    main()
