"""Real heads that nothing has seen: what the prior learned from simulation does on them.

    unfog train head-prior --set training.precision=bf16 --out runs/head
    pip install --target peers/bm4d bm4d==4.2.5 bm3d==4.0.3 PyWavelets
    python benchmarks/heads.py --prior runs/head --peers peers/bm4d \
        --out benchmarks/results/heads.json --figure docs/heads.png

``denoise``: Gaussian noise of .04, .08 and .12 of the range in cubes of 48^3 voxels of four scans,
by the prior, by BM4D, by BM3D plane by plane and by non-local means in three dimensions; the
strength of non-local means is tuned on the truth, BM3D and BM4D are told the noise. PSNR and SSIM
are inside the head. ``standing``: beside ``t1-slices``. ``intervals``: the
share of voxels that 90 % intervals hold. ``slices``: every four planes averaged by the profile of
thick slices. ``kspace``: a quarter of the lines of k-space of one coil. ``volume``: the time and
the memory of a denoised volume of 256^3. ``misfit``: of heads and of what is unlike them.
``noise``: its level by the prior in 40 simulated volumes and in the scans. ``lesions``: bright
balls pasted into the heads, and how much of their contrast is left. A part that is named alone
renews its figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from heads_common import NOISES, SIDE, case, say, scores, told
from heads_data import heads
from heads_tasks import intervals, kspace, slices, volume
from heads_trust import lesions, misfit, noise, roc
from matplotlib import pyplot
from record import write_record
from skimage.restoration import denoise_nl_means
from torch import Tensor

import unfog
import unfog.builtin
from unfog.core.random import generator
from unfog.data.builtin import mni
from unfog.files.slices import to_slices, to_volume
from unfog.physics.noise import add_gaussian
from unfog.runs.restore import posterior_mean
from unfog.runs.run import Run

Volume = np.ndarray[Any, np.dtype[np.float32]]


# --- denoise


def denoise(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """PSNR, SSIM and CPU seconds of every method, by head and noise."""
    found: dict[str, Any] = {}
    for head in heads():
        for sigma in NOISES:
            truth, noisy = case(head, sigma)
            methods = {
                "prior": lambda y, s, head=head: [posterior_mean(told(run, head), y, s)],
                **rivals(options.peers),
            }
            if sigma != NOISES[1] or head.name != "brainbrowser 1":  # slow, and BM4D beats it
                del methods["BM3D"]
            found[f"{head.name}, {sigma:g}"] = {
                "noisy": scores(noisy, truth),
                **{name: best(f, noisy, sigma, truth) for name, f in methods.items()},
            }
            say(f"{head.name} {sigma:g}", found[f"{head.name}, {sigma:g}"])
    return found


def prior(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """The same, its rivals as they were."""
    found = json.loads(options.out.read_text())["results"]["denoise"]
    for head in heads():
        for sigma in NOISES:
            truth, noisy = case(head, sigma)
            own = told(run, head)
            found[f"{head.name}, {sigma:g}"]["prior"] = best(
                lambda y, s, own=own: [posterior_mean(own, y, s)], noisy, sigma, truth
            )
            say(f"{head.name} {sigma:g}", found[f"{head.name}, {sigma:g}"]["prior"])
    return found


Method = Callable[[Tensor, float], list[Tensor]]  # the estimates of all settings


def rivals(peers: Path) -> dict[str, Method]:
    sys.path.append(str(peers))
    from bm3d import bm3d
    from bm4d import bm4d

    def each(f: Callable[[Volume, float], Volume], strengths: tuple[float, ...]) -> Method:
        def all_of(y: Tensor, sigma: float) -> list[Tensor]:
            values = y[0, 0].numpy().astype(np.float64)
            return [
                torch.from_numpy(np.asarray(f(values, sigma * k), np.float32).reshape(y.shape))
                for k in strengths
            ]

        return all_of

    def by_planes(values: Volume, sigma: float) -> Volume:
        return np.stack([bm3d(plane, sigma) for plane in np.moveaxis(values, 2, 0)], 2)

    def means(values: Volume, sigma: float) -> Volume:
        return denoise_nl_means(values, 3, 5, h=sigma, sigma=sigma / 2, fast_mode=True)

    return {
        "BM4D": each(bm4d, (1.0,)),
        "BM3D": each(by_planes, (1.0,)),
        "non-local means": each(means, (0.5, 0.7, 0.9, 1.2)),
    }


def best(method: Method, noisy: Tensor, sigma: float, truth: Tensor) -> dict[str, float]:
    begun = time.process_time()
    estimates = method(noisy, sigma)
    seconds = (time.process_time() - begun) / len(estimates)
    tried = [scores(x, truth) for x in estimates]
    return {**max(tried, key=lambda one: one["PSNR"]), "CPU seconds": round(seconds, 1)}


# --- standing


def standing(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """What stood before, ``t1-slices`` on axial slices at its own 2 mm, beside the prior, on 32
    planes of the scan of that size.
    """
    head = next(one for one in heads() if one.voxel[0] == 2)
    truth = torch.from_numpy(head.values[5:85, 6:102, 28:60].copy())[None, None]
    slices_prior, found = unfog.load("t1-slices"), template(run)
    for sigma in NOISES:
        noisy = add_gaussian(truth, sigma, [generator(0, "standing", str(sigma))])
        planes = torch.from_numpy(np.array(to_slices(noisy[0, 0].numpy())))
        mean = to_volume(posterior_mean(slices_prior, planes, sigma).numpy())
        found[f"{sigma:g}"] = {
            "noisy": scores(noisy, truth),
            "t1-slices": scores(torch.from_numpy(np.array(mean))[None, None], truth),
            "prior": scores(posterior_mean(told(run, head), noisy, sigma), truth),
        }
        say(f"standing {sigma:g}", found[f"{sigma:g}"])
    return found


def template(run: Run) -> dict[str, Any]:
    """The same on the template's slab that ``t1-slices`` was not trained on, noise .08."""
    whole, heights = mni.head(2.0)
    middle = int(np.argmin(abs(heights - 9.5)))
    truth = torch.from_numpy(whole[..., middle - 16 : middle + 16].copy())[None, None]
    noisy = add_gaussian(truth, 0.08, [generator(0, "template")])
    low, high = mni.SLABS["test"]
    slab = (heights >= low) & (heights <= high)
    slab = torch.from_numpy(slab[middle - 16 : middle + 16])
    planes = torch.from_numpy(np.array(to_slices(noisy[0, 0].numpy())))
    mean = to_volume(posterior_mean(unfog.load("t1-slices"), planes, 0.08).numpy())
    two = run.told(voxel=torch.full((1, 3), 2.0).log())
    estimates = {
        "noisy": noisy,
        "t1-slices": torch.from_numpy(np.array(mean))[None, None],
        "prior": posterior_mean(two, noisy, 0.08),
    }
    return {
        "template's held-out slab, 0.08": {
            name: scores(x[..., slab], truth[..., slab], 5) for name, x in estimates.items()
        }
    }


# --- all


def picture(path: Path, run: Run, options: argparse.Namespace) -> None:
    """Truth, noisy, the prior, BM4D and non-local means in a plane of each head."""
    matplotlib.use("Agg")
    names = ("truth", "noisy", "prior", "BM4D", "non-local means")
    figure, axes = pyplot.subplots(4, len(names), figsize=(2 * len(names), 8.2))
    methods = rivals(options.peers)
    for number, (row, head) in enumerate(zip(axes, heads(), strict=True)):
        truth, noisy = case(head, 0.08)
        shown = [truth, noisy, posterior_mean(told(run, head), noisy, 0.08)]
        shown += [methods[name](noisy, 0.08)[-1 if name == "BM4D" else 1] for name in names[3:]]
        for axis, name, x in zip(row, names, shown, strict=True):
            axis.imshow(x[0, 0, :, :, SIDE // 2].T, cmap="gray", vmin=0, vmax=1, origin="lower")
            axis.set_title(name if number == 0 else "", fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(head.name, fontsize=9)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=90)


PARTS = {
    f.__name__: f
    for f in (denoise, standing, misfit, noise, intervals, slices, kspace, lesions, volume)
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}, prior; all by default")
    parser.add_argument("--prior", required=True)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=10, help="of sampling")
    parser.add_argument("--draws", type=int, default=2, help="of the noise about a lesion")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--roc", type=Path, help="a figure of what the misfit tells apart")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = Run.open(options.prior).in_precision("bf16")
    known = options.out is not None and options.out.exists()
    results = json.loads(options.out.read_text())["results"] if known else {}
    for name in options.parts or PARTS:
        if name == "prior":
            results["denoise"] = prior(run, options)
        else:
            results[name] = PARTS[name](run, options)
        write_record(
            {
                "heads": {h.name: {"package": h.package, "licence": h.licence} for h in heads()},
                "side": SIDE,
                "results": results,
            },
            (unfog, torch),
            options.out,
        )
    if options.roc is not None:
        roc(results["misfit"], options.roc)
    if options.figure is not None:
        picture(options.figure, run, options)


if __name__ == "__main__":
    main()
