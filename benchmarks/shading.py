"""A receiver's shading that is not known, removed by the prior and by N4.

    pip install --target peers/n4 SimpleITK==2.5.7
    PYTHONPATH=peers/n4 python benchmarks/shading.py --out benchmarks/results/shading.json \
        --figure docs/shading.png

Five axial slices of the template that ``t1-slices`` was not trained on are multiplied by a smooth
random gain that goes up to +-20 or +-40 % inside the head, and get noise of .03 of the range.
``prior``: gain and slices drawn together by ``unfog.runs.shading``. ``N4``: N4ITK (Tustison et al.
2010) on the same noisy slices, one by one and as a volume, with 2 to 4 levels, of which the one of
the least error to the true gain is taken; its corrected slices are denoised by the same prior.
``known``: the same denoising where the gain is known. PSNR is inside the head, after one best scale
of all slices; errors of the log-gain likewise, after its mean there has been taken away.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import SimpleITK as sitk
import torch
from matplotlib import pyplot
from record import write_record
from torch import Tensor

import unfog
import unfog.builtin
from unfog.core.random import generator
from unfog.data.builtin import mni
from unfog.data.synthesis.fields import smooth_field
from unfog.files.slices import to_slices
from unfog.physics.noise import add_gaussian
from unfog.runs.restore import posterior_mean
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.runs.shading import GRID, unshade

NOISE, STRENGTHS, SPACING = 0.03, (0.2, 0.4), 40.0  # of splines, in pixels of 2 mm


def slab() -> Tensor:
    """The held-out slices, (slices, 1, rows, columns) in [0, 1]."""
    whole, heights = mni.head(2.0)
    low, high = mni.SLABS["test"]
    held = whole[..., (heights >= low) & (heights <= high)]
    return torch.from_numpy(np.array(to_slices(held)))


def random_gain(truth: Tensor, strength: float, seed: int) -> Tensor:
    """A gain common to all slices, its log up to log(1 + strength) from its mean in the head."""
    field = smooth_field(np.random.default_rng(seed), tuple(truth.shape[2:]), SPACING)
    log = torch.from_numpy(field)[None, None].expand(truth.shape)
    inside = truth > 0.1
    log = log - log[inside].mean()
    return (log * (math.log1p(strength) / float(log[inside].abs().max()))).exp()


# --- the prior and N4


def by_prior(run: Run, y: Tensor, options: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """Slices, gain and the gain's deviation over itself."""
    plan = Plan.of(run, "ddpm", options.steps, GRID)
    found = unshade(run, y, NOISE, samples=options.samples, plan=plan)
    return found.restored.mean, found.gain, found.gains.log().std(1)


def by_n4(y: Tensor, levels: int, whole: bool) -> Tensor:
    """The gain by N4, of all slices as a volume or of one after the other."""
    if not whole:
        return torch.cat([_n4(one[0, 0], levels)[None, None] for one in y.split(1)])
    return _n4(y[:, 0], levels)[:, None]


def _n4(values: Tensor, levels: int) -> Tensor:
    image = sitk.GetImageFromArray(values.clamp(min=0).numpy())
    head = sitk.GetImageFromArray((values > 0.1).numpy().astype(np.uint8))
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([50] * levels)
    n4.Execute(image, head)
    return torch.from_numpy(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image))).exp()


def best_n4(y: Tensor, truth: Tensor, gain: Tensor) -> tuple[Tensor, str]:
    """The one of the least error to the true gain, its mean log in the head 0, and its setting."""
    tried = {
        f"{'a volume' if whole else 'slice by slice'}, {levels} levels": by_n4(y, levels, whole)
        for whole in (False, True)
        for levels in (2, 3, 4)
    }
    name = min(tried, key=lambda one: gain_scores(tried[one], gain, truth)["RMS error"])
    return tried[name] / tried[name].log()[truth > 0.1].mean().exp(), name


# --- scores


def psnr(x: Tensor, truth: Tensor) -> float:
    a, b = x[truth > 0.1], truth[truth > 0.1]
    scale = (a @ b) / (a @ a)
    return round(-10 * math.log10(float((scale * a - b).square().mean())), 2)


def gain_scores(found: Tensor, gain: Tensor, truth: Tensor) -> dict[str, float]:
    """Of the logarithm inside the head."""
    a, b = (x.log()[truth > 0.1] for x in (found.expand_as(gain), gain))
    a, b = a - a.mean(), b - b.mean()
    correlation = float(a @ b / (a.norm() * b.norm()).clamp(min=1e-12))
    error = float((a - b).square().mean().sqrt())
    return {"correlation": round(correlation, 3), "RMS error": round(error, 4)}


def case(run: Run, strength: float, options: argparse.Namespace) -> tuple[dict[str, Any], Any]:
    truth = slab()
    gain = random_gain(truth, strength, round(100 * strength))
    y = add_gaussian(
        gain * truth, NOISE, [generator(0, k, str(strength)) for k in range(len(truth))]
    )
    begun = time.process_time()
    x, own, deviation = by_prior(run, y, options)
    seconds = time.process_time() - begun
    n4, setting = best_n4(y, truth, gain)
    corrected = posterior_mean(run, y / n4, NOISE)
    inside = truth > 0.1
    figures = {
        "RMS of the log-gain": round(float(gain.log()[inside].std()), 4),
        "PSNR": {
            "measured": psnr(y, truth),
            "not corrected": psnr(posterior_mean(run, y, NOISE), truth),
            "N4": psnr(corrected, truth),
            "prior": psnr(x, truth),
            "known": psnr(posterior_mean(run, y / gain, NOISE), truth),
        },
        "gain": {"N4": gain_scores(n4, gain, truth), "prior": gain_scores(own, gain, truth)},
        "gain's stated deviation": round(float(deviation[inside].square().mean().sqrt()), 4),
        "N4's setting": setting,
        "CPU seconds": round(seconds),
    }
    shown = {"truth": truth, "measured": y, "N4": corrected, "prior": x}
    return figures, (shown, {"true gain": gain, "N4's": n4, "the prior's": own})


def picture(path: Path, cases: dict[float, Any]) -> None:
    """The middle slice, and the gains where the head is."""
    matplotlib.use("Agg")
    figure, axes = pyplot.subplots(len(cases), 7, figsize=(12, 2.3 * len(cases)))
    for number, (strength, (images, gains)) in enumerate(cases.items()):
        row = axes[number]
        middle = len(images["truth"]) // 2
        inside, span = images["truth"][middle, 0] > 0.1, math.log1p(strength)
        for axis, (name, x) in zip(row, [*images.items(), *gains.items()], strict=True):
            x = x[middle, 0]
            if name in images:
                axis.imshow(x, cmap="gray", vmin=0, vmax=1)
            else:
                log = x.log() - x.log()[inside].mean()
                log = np.where(inside, log, np.nan)
                axis.imshow(log, cmap="coolwarm", vmin=-span, vmax=span)
            axis.set_title("" if number else name, fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(f"up to {100 * strength:.0f} %", fontsize=9)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=20, help="of sampling")
    parser.add_argument("--samples", type=int, default=4, help="draws of each slice")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run, results, shown = unfog.load("t1-slices"), {}, {}
    for strength in STRENGTHS:
        results[f"{strength:g}"], shown[strength] = case(run, strength, options)
    figures = {"noise": NOISE, "samples": options.samples, "steps": options.steps}
    write_record(
        {**figures, "results": results},
        (unfog, torch),
        options.out,
        SimpleITK=str(sitk.Version.VersionString()),
    )
    if options.figure is not None:
        picture(options.figure, shown)


if __name__ == "__main__":
    main()
