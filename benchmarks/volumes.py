"""Volumes: what 3-D priors draw and restore.

    unfog train volume-prior --data random-field --set data.dims=3 --set data.knee=5 \
        --set data.patch=24 --set training.steps=2000 --out runs/fields
    unfog train t1-volume-prior --set training.steps=3500 --out runs/t1-volume
    pip install --target peers/bm4d bm4d==4.2.5 bm3d==4.0.3 PyWavelets
    python benchmarks/volumes.py fields --run runs/fields
    python benchmarks/volumes.py denoise --run runs/t1-volume --peers peers/bm4d

Each takes ``--out FILE`` for its figures and ``--figure FILE`` for a picture.

``fields``: Gaussian fields of 64^3 drawn in windows of 24^3, beside the true spectrum, band by
band, and the energy of gradients across the windows' borders over that elsewhere.
``denoise``: white noise on the T1 template at 2 mm; 64^3 voxels in the middle of the head by the
3-D prior, by the 2-D prior ``t1-slices`` slice by slice and by BM4D, scored on all of its planes
and on those that neither prior was trained on. The template is one average brain.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from record import write_record
from torch import Tensor

import unfog
from unfog.core.random import generator
from unfog.core.tiles import places
from unfog.data.builtin.mni import GAP, SLABS, head
from unfog.data.builtin.random_field import RandomField
from unfog.physics.noise import add_gaussian
from unfog.runs.restore import posterior_mean
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw

SIDE, NOISES = 64, (0.05, 0.1, 0.2)
BANDS = ((1, 2), (3, 4), (5, 7), (8, 11), (12, 16), (17, 23), (24, 32))  # wavenumbers, both ends


# --- fields


def fields(options: argparse.Namespace) -> dict[str, Any]:
    """Spectrum and seams of fields that are drawn in windows."""
    run = Run.open(options.run)
    begun = time.process_time()
    plan = Plan.of(run, options.sampler, options.steps)
    x = draw(run, plan, range(options.count), 0, batch=1, shape=(1, *(SIDE,) * 3))
    seconds = time.process_time() - begun
    # The window on fields that are not periodic leaks, so real ones are judged by it as well.
    real = torch.cat([crop(k) for k in range(16)])
    ours, true = (windowed_spectrum(part) for part in (x, real))
    bands = [[ours[:, a : b + 1].sum(1), true[:, a : b + 1].sum(1)] for a, b in BANDS]
    if options.figure is not None:
        picture(options.figure, {"drawn": x[:3, 0], "true": real[:3, 0]}, (-3, 3))
    return {
        "fields drawn": len(x),
        **plan.names,
        "CPU seconds a field": round(seconds / len(x), 1),
        "power over the true one, by band of wavenumbers": {
            f"{a}-{b}": rounded(drawn.mean() / truth.mean())
            for (a, b), (drawn, truth) in zip(BANDS, bands, strict=True)
        },
        "its standard error": [
            rounded(drawn.std() / len(drawn) ** 0.5 / truth.mean()) for drawn, truth in bands
        ],
        "gradient energy at seams over elsewhere": rounded(seam_energy(x, run.shape[1])),
        "the same of true fields": rounded(seam_energy(real, run.shape[1])),
        "deviation": [rounded(x.std()), rounded(real.std())],
    }


def crop(number: int) -> Tensor:
    """A true field, of the law that the training set has: (1, 1, 64, 64, 64)."""
    return RandomField("test", size=SIDE, dims=3, knee=5.0).batch([number])["x"]


def windowed_spectrum(x: Tensor) -> Tensor:
    """Radial spectrum (batch, 33) under a Hann window along each axis."""
    hann = torch.hann_window(SIDE, dtype=torch.float64)
    window = hann[:, None, None] * hann[:, None] * hann
    power = torch.fft.fftn(x[:, 0].double() * window, dim=(1, 2, 3)).abs().square().flatten(1)
    k = torch.fft.fftfreq(SIDE, 1 / SIDE, dtype=torch.float64)
    shell = torch.cartesian_prod(k, k, k).norm(dim=1).round().long().clamp(max=SIDE // 2 + 1)
    sums = torch.zeros(len(x), SIDE // 2 + 2, dtype=torch.float64)
    return sums.index_add(1, shell, power)[:, : SIDE // 2 + 1]


def seam_energy(x: Tensor, window: int) -> Tensor:
    """Mean squared difference across the planes where windows begin or end, over that elsewhere."""
    line = [place[0] for place in places((SIDE,), window, window // 2)]
    edges = {edge for part in line for edge in (part.start, part.stop)} - {0, SIDE}
    across = torch.tensor([k + 1 in edges for k in range(SIDE - 1)])
    at, elsewhere = [], []
    for axis in (2, 3, 4):
        squares = x.diff(dim=axis).square().movedim(axis, 0).flatten(1).mean(1)
        at.append(squares[across])
        elsewhere.append(squares[~across])
    return torch.cat(at).mean() / torch.cat(elsewhere).mean()


# --- denoise


def denoise(options: argparse.Namespace) -> dict[str, Any]:
    """PSNR of a cube of the head by each method, for each noise."""
    whole, heights = head(2.0)  # (80, 96, 80) in [0, 1]
    corner = [(n - SIDE) // 2 for n in whole.shape]
    cube = tuple(slice(a, a + SIDE) for a in corner)
    truth = torch.from_numpy(whole)
    low, high = SLABS["test"]
    unseen = torch.from_numpy((heights >= low) & (heights <= high))[cube[2]]
    methods = denoisers(options, cube)
    rows, pictures = {}, {}
    for sigma in NOISES:
        noisy = add_gaussian(truth[None], sigma, [generator(0, "volumes", sigma)])[0]
        found = {"noisy": noisy[cube], **{name: f(noisy, sigma) for name, f in methods.items()}}
        rows[f"{sigma:g}"] = {
            name: {
                "PSNR": psnr(estimate, truth[cube]),
                "PSNR of planes not trained on": psnr(
                    estimate[..., unseen], truth[cube][..., unseen]
                ),
            }
            for name, estimate in found.items()
        }
        pictures = {"truth": truth[cube], **found}
    if options.figure is not None:
        planes = {name: x[..., unseen].movedim(2, 0)[1:4] for name, x in pictures.items()}
        picture(options.figure, planes, (0, 1), middle=False)
    return {
        "cube": [SIDE] * 3,
        "planes not trained on": int(unseen.sum()),
        "held out, mm": [low, high],
        "gap, mm": GAP,
        "dB by noise's deviation": rows,
    }


def denoisers(
    options: argparse.Namespace, cube: tuple[slice, ...]
) -> dict[str, Callable[[Tensor, float], Tensor]]:
    """Each method: a noisy head (80, 96, 80) and the noise's deviation to the cube."""
    sys.path.insert(0, str(options.peers))
    from bm4d import bm4d

    volumes, slices = Run.open(options.run), unfog.load("t1-slices")

    def prior_3d(noisy: Tensor, sigma: float) -> Tensor:
        return posterior_mean(volumes, noisy[cube][None, None], sigma)[0, 0]

    def prior_2d(noisy: Tensor, sigma: float) -> Tensor:
        # Axial slices (1, rows, columns) = (1, y, x), as the prior has them.
        planes = noisy.permute(2, 1, 0)[:, None]
        mean = posterior_mean(slices, planes, sigma)
        return mean[:, 0].permute(2, 1, 0)[cube]

    def peer(noisy: Tensor, sigma: float) -> Tensor:
        found = torch.from_numpy(bm4d(noisy.numpy().astype(np.float64), sigma)).float()
        return found.reshape(noisy.shape)[cube]

    return {"3-D prior": prior_3d, "2-D prior, slice by slice": prior_2d, "BM4D": peer}


def psnr(x: Tensor, truth: Tensor) -> float:
    return round(float(-10 * torch.log10((x - truth).square().mean())), 2)


# --- all


def rounded(x: Tensor) -> float:
    return round(float(x), 4)


def picture(
    path: Path, rows: dict[str, Tensor], limits: tuple[float, float], middle: bool = True
) -> None:
    """A row of pictures each: the middle planes of volumes, or pictures as they are."""
    matplotlib.use("Agg")
    columns = max(len(row) for row in rows.values())
    figure, axes = pyplot.subplots(
        len(rows), columns, figsize=(2.2 * columns, 2.3 * len(rows)), squeeze=False
    )
    for line, (name, row) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name)
        for axis, x in zip(line, row, strict=True):
            plane = x[..., x.shape[-1] // 2] if middle else x
            axis.imshow(
                plane.T if not middle else plane,
                cmap="gray",
                vmin=limits[0],
                vmax=limits[1],
                origin="lower",
            )
            axis.set(xticks=[], yticks=[])
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


PARTS = {"fields": fields, "denoise": denoise}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--run", type=Path, default=None)
    parser.add_argument("--peers", type=Path, default=None)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--sampler", default=None)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--figure", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    write_record(PARTS[options.part](options), (unfog, torch), options.out)


if __name__ == "__main__":
    main()
