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
thick slices. ``misfit``: of heads and of what is unlike them. ``lesions``: bright balls pasted into
the heads, and how much of their contrast is left. A part that is named alone renews its figures.
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
from heads_data import Head, heads
from matplotlib import pyplot
from record import write_record
from scipy.ndimage import gaussian_filter, zoom
from skimage.metrics import structural_similarity
from skimage.restoration import denoise_nl_means
from torch import Tensor

import unfog
import unfog.builtin
from unfog.core.random import generator
from unfog.data.builtin import mni
from unfog.files.slices import to_slices, to_volume
from unfog.physics.noise import add_gaussian
from unfog.physics.slices import ThickSlices
from unfog.runs.misfit import misfit_by_band, misfit_of
from unfog.runs.noise_level import noise_by_prior
from unfog.runs.restore import GRID, posterior_mean, restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan

SIDE, NOISES = 48, (0.04, 0.08, 0.12)
Volume = np.ndarray[Any, np.dtype[np.float32]]


def told(run: Run, head: Head) -> Run:
    return run.told(voxel=torch.tensor(head.voxel).log()[None])


def case(head: Head, sigma: float) -> tuple[Tensor, Tensor]:
    """Truth and noisy cube, (1, 1, side, side, side) both."""
    truth = torch.from_numpy(head.cube(SIDE).copy())[None, None]
    return truth, add_gaussian(truth, sigma, [generator(0, head.name, str(sigma))])


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


def scores(x: Tensor, truth: Tensor, window: int = 7) -> dict[str, float]:
    """Inside the head: PSNR in dB, and the mean of the map of SSIM."""
    estimate, inside = x.clamp(0, 1), truth > 0.1
    error = float((estimate - truth)[inside].square().mean())
    _, local = structural_similarity(
        truth[0, 0].numpy(), estimate[0, 0].numpy(), win_size=window, data_range=1.0, full=True
    )
    return {
        "PSNR": round(-10 * float(np.log10(error)), 2),
        "SSIM": round(float(local[inside[0, 0].numpy()].mean()), 4),
    }


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


# --- intervals


def intervals(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """The share of voxels inside that 90 % intervals hold, by head, at a noise of .08."""
    found = {}
    for head in heads():
        truth, noisy = (x[..., :32, :32, :32].contiguous() for x in case(head, 0.08))
        plan = Plan.of(run, "heun", options.steps, GRID)
        drawn = restore(told(run, head), noisy, identity(), 0.08, samples=8, plan=plan, batch=8)
        low, high = drawn.interval(0.9)
        inside = truth > 0.1
        held = ((truth >= low) & (truth <= high))[inside].float().mean()
        found[head.name] = round(float(held), 3)
        say(f"intervals {head.name}", found[head.name])
    return found


def identity() -> Any:
    from unfog.physics.operators import Identity

    return Identity()


# --- slices


def slices(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Planes four times as many as thick slices, noise .01, by head: the prior's mean, and the best
    of splines of order 1 and 3.
    """
    found, operator = {}, ThickSlices(4)
    for head in heads():
        truth = case(head, 0.08)[0][..., :32, :32, :32].contiguous()
        y = add_gaussian(operator(truth), 0.01, [generator(0, head.name, "slices")])
        plan = Plan.of(run, "heun", options.steps, GRID)
        drawn = restore(told(run, head), y, operator, 0.01, samples=4, plan=plan, batch=4)
        splines = [splined(y, order) for order in (1, 3)]
        found[head.name] = {
            "prior": scores(drawn.mean, truth),
            "spline": max((scores(x, truth) for x in splines), key=lambda one: one["PSNR"]),
        }
        say(f"slices {head.name}", found[head.name])
    return found


def splined(y: Tensor, order: int) -> Tensor:
    fine = zoom(y[0, 0].numpy(), (1, 1, 4), order=order, mode="nearest", grid_mode=True)
    return torch.from_numpy(fine)[None, None]


# --- misfit


def misfit(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """The misfit by kind of volume at each noise, and the estimate of the noise over the truth."""
    like, unlike, noise = {}, {}, {}
    for head in heads():
        for sigma in NOISES:
            noisy = case(head, sigma)[1][..., :32, :32, :32].contiguous()
            like[f"{head.name}, {sigma:g}"] = fit(told(run, head), noisy, sigma)
            level = noise_by_prior(told(run, head), noisy, sigma * 1.3)
            noise[f"{head.name}, {sigma:g}"] = level and round(level.sigma / sigma, 3)
            say(f"misfit {head.name} {sigma:g}", [like[f"{head.name}, {sigma:g}"]["whole"], noise])
    for name, (_, noisy) in strangers().items():
        unlike[name] = fit(run, noisy, 0.08)
        say(f"misfit {name}", unlike[name])
    ok = [one["whole"] for one in like.values()]
    bad = [one["whole"] for one in unlike.values() if one["whole"] is not None]
    area = np.mean([[b > a for a in ok] for b in bad])
    return {
        "heads": like,
        "others": unlike,
        "noise over truth": noise,
        "area": round(float(area), 3),
    }


def fit(run: Run, noisy: Tensor, sigma: float) -> dict[str, Any]:
    mean = posterior_mean(run, noisy, sigma)
    whole = misfit_of(run, noisy, mean, sigma)
    bands = misfit_by_band(run, noisy, mean, sigma)
    return {
        "whole": whole and round(whole, 3),
        **{name: value and round(value, 3) for name, value in bands.items()},
    }


def strangers() -> dict[str, tuple[Tensor, Tensor]]:
    """What is unlike a scan of a head with white noise of .08: a CT, a photograph as a volume, a
    scan denoised already, noise that neighbours share.
    """
    from unfog.data import open_dataset

    ct = open_dataset("head-ct").batch(range(20, 52))["x"][:, 0]
    ct = (ct - ct.min()) / (ct.max() - ct.min())
    middle = [slice((n - 32) // 2, (n + 32) // 2) for n in ct.shape[1:]]
    photograph = open_dataset("photographs").batch(range(1))["x"][0].mean(0)
    photograph = (photograph - photograph.min()) / (photograph.max() - photograph.min())
    head = heads()[1].cube(SIDE)[:32, :32, :32]
    smooth = torch.from_numpy(gaussian_filter(head, 1.5))
    truth = {
        "CT": ct[(slice(0, 32), *middle)],
        "photograph": photograph[:32, :32].expand(32, 32, 32),
        "checkerboard": (torch.from_numpy(np.indices((32, 32, 32)).sum(0) // 3 % 2)).float(),
    }
    found = {}
    for name, x in truth.items():
        x = x.contiguous()[None, None]
        found[name] = (x, add_gaussian(x, 0.08, [generator(0, name)]))
    x = smooth[None, None]
    found["a scan denoised already"] = (x, x)
    shared = torch.randn(x.shape, generator=generator(0, "shared"))
    shared = torch.from_numpy(gaussian_filter(shared.numpy(), (0, 0, 0.7, 0.7, 0.7)))
    found["noise that neighbours share"] = (x, x + 0.08 * shared / shared.std())
    return found


# --- lesions


def lesions(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Balls of 2 to 6 mm, .15 to .3 brighter, in the heads under noise of .08: the contrast that is
    left, of the mean of ten draws of the noise.
    """
    found = []
    for head in heads():
        truth, _ = case(head, 0.08)
        random = np.random.default_rng(0)
        for k in range(5):
            centre = random.integers(10, SIDE - 10, 3)
            radius = random.uniform(1, 3) / head.voxel[0]
            away = np.sqrt(sum((np.indices((SIDE,) * 3)[a] - centre[a]) ** 2 for a in range(3)))
            ball = np.clip(radius - away + 0.5, 0, 1).astype(np.float32)
            height = random.uniform(0.15, 0.3)
            ball = torch.from_numpy(ball)[None, None] * height
            kept = []
            part = tuple(slice(c - 16, c + 16) for c in centre.clip(16, SIDE - 16))
            for n in range(options.draws):
                noise = 0.08 * torch.randn(truth.shape, generator=generator(0, "lesions", k, n))
                one, two = (
                    posterior_mean(told(run, head), x[(..., *part)].contiguous(), 0.08)
                    for x in (truth + ball + noise, truth + noise)
                )
                b = ball[(..., *part)]
                kept.append(float(((one - two) * b).sum() / b.square().sum()))
            found.append(round(float(np.mean(kept)), 3))
        say(f"lesions {head.name}", found[-5:])
    return {"contrast kept": found, "median": float(np.median(found))}


# --- all


def say(name: str, what: Any) -> None:
    sys.stderr.write(f"{name}: {what}\n")


def picture(path: Path, run: Run, options: argparse.Namespace) -> None:
    """Truth, noisy, the prior, BM4D and non-local means in a plane of each head."""
    matplotlib.use("Agg")
    names = ("truth", "noisy", "prior", "BM4D", "non-local means")
    figure, axes = pyplot.subplots(4, len(names), figsize=(2 * len(names), 8.2))
    methods = rivals(options.peers)
    for row, head in zip(axes, heads(), strict=True):
        truth, noisy = case(head, 0.08)
        shown = [truth, noisy, posterior_mean(told(run, head), noisy, 0.08)]
        shown += [methods[name](noisy, 0.08)[-1 if name == "BM4D" else 1] for name in names[3:]]
        for axis, name, x in zip(row, names, shown, strict=True):
            axis.imshow(x[0, 0, :, :, SIDE // 2].T, cmap="gray", vmin=0, vmax=1, origin="lower")
            axis.set_title(name if row is axes[0] else "", fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(head.name, fontsize=9)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=90)


PARTS = {f.__name__: f for f in (denoise, standing, misfit, intervals, slices, lesions)}


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
    if options.figure is not None:
        picture(options.figure, run, options)


if __name__ == "__main__":
    main()
