"""Fields from sparse noisy sensors: Gaussian random fields, whose posterior is known, and 2-D
turbulence, beside kriging and cubic splines.

    unfog train field-prior --data random-field --steps 1600 --out runs/random-field unfog train
    field-prior --data turbulence --steps 3200 --out runs/turbulence python benchmarks/fields.py
    --runs runs --out benchmarks/results/fields.json --figure docs/fields.png

Sensors stand at random points, each field's its own, and read the field with noise of 2 % of its
deviation. Kriging has the true spectrum of the random fields, where it is the exact posterior, and
the mean spectrum of the training set of turbulence. Both methods' intervals are scaled by a factor
learned on the validation split (``evaluation.conformal``) and judged on the test split; in
turbulence a split holds whole simulations. Spectra are those of draws, not of means, which are
always too smooth.

Each set is restored with the network trained on it, where there is its run, and with the denoiser
of Gaussian fields of the spectrum that kriging has, which is exact for the random fields: there
only the method errs. The sampler and its grid were chosen with it on two fields of the validation
split.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import scipy
import torch
from matplotlib import pyplot
from record import write_record
from scipy.interpolate import griddata
from torch import Tensor

import unfog
from unfog.core.codec import codecs
from unfog.core.oracle import StationaryDenoiser
from unfog.core.process import EDM
from unfog.core.random import generator, generators
from unfog.data.builtin.random_field import RandomField
from unfog.data.dataset import Dataset, open_dataset
from unfog.evaluation.conformal import conformal_scale
from unfog.evaluation.images import coverage
from unfog.evaluation.kriging import Kriging
from unfog.evaluation.spectrum import radial_spectrum, spectrum_distance
from unfog.physics.noise import add_gaussian
from unfog.physics.operators import Mask
from unfog.runs.restore import Restored, restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan

SETS, SHARES, NOISE = ("random-field", "turbulence"), (0.05, 0.02), 0.02
NETWORK, GAUSSIAN = "unfog, network", "unfog, Gaussian denoiser"
SAMPLER, STEPS, GRID = (
    "calibrated-draws",
    6,
    {"name": "log-snr", "sigma_max": 10.0, "sigma_min": 0.05},
)
# spectra are compared up to the wavenumber below which this share of the training set's variance
# lies
BAND = 0.999


@dataclass(frozen=True)
class Problem:
    """Fields x (n, 1, size, size) and what their sensors say: y is 0 where ``mask`` is False."""

    x: Tensor
    mask: Tensor
    y: Tensor
    sigma: float

    @classmethod
    def of(cls, data: Dataset, count: int, share: float, sigma: float, stream: str) -> Problem:
        x = data.batch(np.linspace(0, len(data) - 1, count).round().astype(int))["x"]
        scattered = [
            torch.rand(x[0, 0].numel(), generator=g).argsort()
            for g in generators(0, range(count), f"sensors-{stream}")
        ]
        mask = torch.stack(scattered).view_as(x) < round(share * x[0, 0].numel())
        return cls(
            x,
            mask,
            add_gaussian(x, sigma, generators(0, range(count), f"noise-{stream}")) * mask,
            sigma,
        )

    def kriging(self, power: Tensor, samples: int) -> Restored:
        """The mean, deviation and draws of kriging with a spectrum."""
        regressions = [Kriging(power, mask[0], self.sigma) for mask in self.mask]
        pairs = list(zip(regressions, self.y[:, None], strict=True))
        draws = [
            k.draw(y.expand(samples, -1, -1, -1), generator(0, "kriging", i))
            for i, (k, y) in enumerate(pairs)
        ]
        std = torch.stack([k.std()[None] for k in regressions]).float()
        return Restored(torch.cat([k.mean(y) for k, y in pairs]), std, torch.stack(draws))

    def cubic(self) -> Tensor:
        """Piecewise cubic interpolation between the sensors, continued periodically."""
        size, found = self.x.shape[-1], []
        down, across = np.mgrid[:size, :size]
        for y, mask in zip(self.y[:, 0].numpy(), self.mask[:, 0].numpy(), strict=True):
            places = np.argwhere(mask)
            copies = np.concatenate(
                [places + size * np.array(shift) for shift in product((-1, 0, 1), repeat=2)]
            )
            found.append(griddata(copies, np.tile(y[mask], 9), (down, across), method="cubic"))
        return torch.from_numpy(np.stack(found))[:, None].float()


@dataclass(frozen=True)
class Bench:
    """One set of fields, and the priors to restore with, by name."""

    name: str
    priors: dict[str, Run]
    options: argparse.Namespace

    @classmethod
    def of(cls, name: str, options: argparse.Namespace) -> Bench:
        bench = cls(name, {}, options)
        if (options.runs / name).exists():
            bench.priors[NETWORK] = Run.open(options.runs / name)
        bench.priors[GAUSSIAN] = gaussian_prior(open_dataset(name, split="test"), bench.power)
        return bench

    @cached_property
    def training(self) -> Tensor:
        data = open_dataset(self.name)
        return data.batch(range(len(data)))["x"].double()

    @cached_property
    def power(self) -> Tensor:
        """The variance of each Fourier mode: known, or the training set's mean."""
        data = open_dataset(self.name, split="test")
        n = self.training[0, 0].numel()
        return (
            data.power
            if isinstance(data, RandomField)
            else (torch.fft.fft2(self.training[:, 0]).abs() / n).square().mean(0)
        )

    def restored(self, run: Run, problem: Problem) -> Restored:
        """MMPS under the plan."""
        plan = Plan.of(run, SAMPLER, STEPS, GRID)
        return restore(
            run,
            problem.y,
            Mask(problem.mask),
            problem.sigma,
            samples=self.options.samples,
            plan=plan,
            batch=16,
        )

    def figures(self, share: float) -> tuple[dict[str, Any], tuple[Problem, dict[str, Any]]]:
        """The table of one share of sensors, and what a picture of it shows."""
        sigma, found = NOISE * float(self.training.std()), dict[str, Any]()
        splits = {"validation": self.options.validation, "test": self.options.test}
        problems = {
            split: Problem.of(open_dataset(self.name, split=split), n, share, sigma, split)
            for split, n in splits.items()
        }
        test, kriged = (
            problems["test"],
            {split: p.kriging(self.power, self.options.samples) for split, p in problems.items()},
        )
        shown: dict[str, Any] = {"kriging": kriged["test"], "cubic": test.cubic()}
        for name, run in self.priors.items():
            begun = time.perf_counter()
            answer = {split: self.restored(run, problem) for split, problem in problems.items()}
            seconds = (time.perf_counter() - begun) / (sum(splits.values()) * self.options.samples)
            found[name] = {**self.scores(problems, answer), "seconds a draw": round(seconds, 2)}
            shown.setdefault("unfog", answer["test"])
            if self.name == "random-field":
                found[name] |= from_truth(answer["test"], kriged["test"])
        found["kriging"] = self.scores(problems, kriged)
        cubic = shown["cubic"]
        found["cubic"] = {
            "relative error": relative_error(cubic, test.x),
            "spectrum error": self.spectrum_error(cubic, test.x),
        }
        return found, (test, shown)

    def scores(self, problems: dict[str, Problem], answer: dict[str, Restored]) -> dict[str, Any]:
        truth, done, held = problems["test"].x, answer["test"], answer["validation"]
        scale = conformal_scale(problems["validation"].x - held.mean, held.std)
        low, high = done.interval(scale=scale)
        return {
            "relative error": relative_error(done.mean, truth),
            "spectrum error": self.spectrum_error(done.samples.flatten(0, 1), truth),
            "spectrum error of the mean": self.spectrum_error(done.mean, truth),
            "covered unscaled": float(coverage(truth, *done.interval()).mean()),
            "interval scale": scale,
            "covered": float(coverage(truth, low, high).mean()),
            "covered by field": coverage(truth, low, high).tolist(),
            "interval width": float((high - low).mean() / self.training.std()),
        }

    def spectrum_error(self, fields: Tensor, truth: Tensor) -> float:
        band = self.band
        return spectrum_distance(
            radial_spectrum(fields).mean(0)[:band], radial_spectrum(truth).mean(0)[:band]
        )

    @cached_property
    def band(self) -> int:
        cumulated = radial_spectrum(self.training).mean(0).cumsum(0)
        return int((cumulated < BAND * cumulated[-1]).sum()) + 1


def gaussian_prior(data: Dataset, power: Tensor) -> Run:
    """A run whose denoiser is that of Gaussian fields of a spectrum."""
    codec = codecs.build(data.codec)
    denoiser = StationaryDenoiser(EDM(), power / float(codec.decode(torch.tensor(1.0))) ** 2)
    return Run(Path(GAUSSIAN), {"sampling": {}}, denoiser, codec, data.shape, {})  # type: ignore[arg-type]


def relative_error(found: Tensor, truth: Tensor) -> float:
    """|found - truth| / |truth|, mean over the fields."""
    return float(((found - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).mean())


def from_truth(found: Restored, exact: Restored) -> dict[str, float]:
    """How far draws are from the exact posterior: of the mean in its deviations, less the scatter
    of so few draws, and of the deviation.
    """
    off = ((found.mean - exact.mean) / exact.std).square().mean()
    scatter = (found.std / exact.std).square().mean() / found.samples.shape[1]
    return {
        "mean off, in exact deviations": float((off - scatter).clamp(min=0).sqrt()),
        "scatter of the mean": float(scatter.sqrt()),
        "deviation over the exact": float((found.std / exact.std).mean()),
    }


def picture(
    shown: dict[tuple[str, float], tuple[Problem, dict[str, Any]]],
    benches: dict[str, Bench],
    file: Path,
) -> None:
    """A row for each set and share of sensors: truth, sensors, answers, uncertainty, spectra."""
    heads = [
        "truth",
        "sensors",
        "cubic",
        "kriging, mean",
        "unfog, mean",
        "unfog, a draw",
        "unfog, deviation",
        "spectra",
    ]
    figure, axes = pyplot.subplots(
        len(shown), len(heads), figsize=(2 * len(heads), 2.1 * len(shown)), squeeze=False
    )
    for row, ((name, share), (problem, answers)) in zip(axes, shown.items(), strict=True):
        ours, limit = answers["unfog"], 2.5 * float(problem.x[0].std())
        sensors = torch.where(problem.mask, problem.y, torch.nan)
        images = [
            problem.x,
            sensors,
            answers["cubic"],
            answers["kriging"].mean,
            ours.mean,
            ours.samples[:, 0],
            ours.std,
        ]
        for axis, image, head in zip(row, images, heads, strict=False):
            last = head.endswith("deviation")
            axis.imshow(
                image[0, 0],
                cmap="magma" if last else "RdBu_r",
                vmin=0 if last else -limit,
                vmax=limit / 2.5 if last else limit,
            )
            axis.set_title(head, fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(f"{name}, {100 * share:g} %", fontsize=8)
        band = benches[name].band
        wave = range(1, band + 1)
        lines = {
            "truth": problem.x,
            "unfog, draws": ours.samples.flatten(0, 1),
            "unfog, mean": ours.mean,
            "kriging, mean": answers["kriging"].mean,
        }
        for label, fields in lines.items():
            row[-1].loglog(
                wave,
                radial_spectrum(fields).mean(0)[:band],
                label=label,
                lw=2 if label == "truth" else 1,
            )
        row[-1].set_title("spectra", fontsize=8)
        row[-1].tick_params(labelsize=6)
        row[-1].legend(fontsize=5)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        help="folder with a run for each set, by its name",
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--test", type=int, default=6, help="fields")
    parser.add_argument("--validation", type=int, default=4, help="fields")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    benches = {name: Bench.of(name, options) for name in options.sets}
    results: dict[str, Any] = {}
    shown = {}
    for (name, bench), share in product(benches.items(), SHARES):
        table, shown[name, share] = bench.figures(share)
        results.setdefault(name, {})[f"{100 * share:g} % of the points"] = table
        sys.stderr.write(f"{name}, {share}: {json.dumps(table, indent=1)}\n")
    if options.figure is not None:
        picture(shown, benches, options.figure)
    known = {name: getattr(options, name) for name in ("test", "validation", "samples")} | {
        "sampler": SAMPLER,
        "steps": STEPS,
        "grid": GRID,
    }
    known |= {
        "noise": NOISE,
        "band": {name: bench.band for name, bench in benches.items()},
        "seed": 0,
    }
    runs = {
        name: bench.priors[NETWORK] for name, bench in benches.items() if NETWORK in bench.priors
    }
    trained = {name: run.config["training"]["steps"] for name, run in runs.items()}
    write_record(
        {**known, "training steps": trained, "results": results},
        (unfog, torch, scipy, matplotlib),
        options.out,
    )


if __name__ == "__main__":
    main()
