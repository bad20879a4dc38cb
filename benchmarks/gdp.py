"""GDP on real pictures: low light, HDR and joint tasks, the exposure hidden from the call, beside
doing nothing and equalisation.

    python benchmarks/gdp.py --runs t1-slices --out benchmarks/results/gdp.json
    python benchmarks/gdp.py --runs fashion --out benchmarks/results/gdp_fashion.json

Of held-out pictures x in [0, 1] (split test, evenly spaced) the call sees y = f x + m + noise
alone, and for HDR three exposures that are clipped to [0, 1]. The first guess is the exposure that
would make y of a picture that fills the range or, in one row, f = 1 and m = 0. What is found is
read as ``unfog restore`` reads it, by fitting the restored picture to y.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from record import write_record
from skimage.exposure import equalize_adapthist, equalize_hist
from torch import Tensor

import unfog
from unfog.core.random import generators, normal
from unfog.data.dataset import open_dataset
from unfog.evaluation.images import psnr
from unfog.physics.exposure import Exposure
from unfog.physics.linear import Operator
from unfog.physics.operators import BlockAverage, Identity, Points
from unfog.physics.saturation import saturated_line
from unfog.runs.low_light import low_light
from unfog.runs.run import Run

# and their data, and how many pictures
RUNS = {"t1-slices": ("mni-t1", 4), "fashion": ("fashion-mnist", 8)}
DARK, NOISE = (0.25, 0.1), 0.01  # f, m and the noise, of a range of 1
# one exposure clips at no end, the others lights or shadows
BRACKET, BRACKET_NOISE = (((0.4, 0.5), (0.9, 0.1), (1.8, -0.4)), 0.03)
EQUALISATIONS: dict[str, Callable[[Any], Any]] = {
    "equalize_hist": equalize_hist,
    "equalize_adapthist": equalize_adapthist,
}
Truth = tuple[float, float]


@dataclass(frozen=True)
class Bench:
    """A run, held-out pictures in [0, 1], and how to draw."""

    run: Run
    x: Tensor
    samples: int
    steps: int

    @classmethod
    def of(cls, name: str, samples: int, steps: int) -> Bench:
        run, (data, count) = Run.open(name), RUNS[name]
        held_out = open_dataset(data, split="test")
        x = held_out.batch(np.linspace(0, len(held_out) - 1, count).round().astype(int))["x"]
        return cls(run, (run.codec.encode(x) + 1) / 2, samples, steps)

    def exposed(self, truth: Truth, noise: float, stream: str, operator: Operator) -> Tensor:
        """f A x + m + noise."""
        seen = operator(self.x)
        return (
            truth[0] * seen
            + truth[1]
            + noise * normal(seen.shape, generators(0, range(len(seen)), stream))
        )

    def relit(
        self, measurements: list[Tensor], operator: Operator, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """GDP's mean and samples, in [0, 1]."""
        found = low_light(
            self.run, measurements, operator, samples=self.samples, steps=self.steps, **options
        )
        return (self.run.codec.encode(found.mean) + 1) / 2, (
            self.run.codec.encode(found.samples) + 1
        ) / 2

    def low_light(self, operator: Operator, **options: Any) -> dict[str, Any]:
        """One dark picture."""
        y, begun = self.exposed(DARK, NOISE, "dark", operator), time.perf_counter()
        mean, samples = self.relit([y], operator, **options)
        factors = torch.stack(
            [Exposure.fitted(operator(picture), y).factor for picture in samples.unbind(1)]
        )
        return {
            "psnr": score(mean, self.x),
            "exposure": errors(Exposure.fitted(operator(mean), y), DARK),
            "spread of ln f over the samples": float(factors.log().std(0).mean()),
            "seconds": round(time.perf_counter() - begun, 1),
        }

    def hdr(self) -> dict[str, Any]:
        """Three exposures."""
        shots = [
            self.exposed(truth, BRACKET_NOISE, f"shot-{k}", Identity()).clamp(0, 1)
            for k, truth in enumerate(BRACKET)
        ]
        begun = time.perf_counter()
        mean, _ = self.relit(shots, Identity())
        fit = saturated_line(0.0, 1.0)
        return {
            "psnr": score(mean, self.x),
            "exposures": [
                errors(fit(mean, y).exposure, truth)
                for y, truth in zip(shots, BRACKET, strict=True)
            ],
            "untreated": [untreated(y, self.x) for y in shots],
            "seconds": round(time.perf_counter() - begun, 1),
        }

    def figures(self) -> dict[str, Any]:
        dark, half = self.exposed(DARK, NOISE, "dark", Identity()), torch.tensor(0.5)
        wrong = lambda y: Exposure(torch.ones(len(y)) * half, torch.ones(len(y)) * half)  # noqa: E731  (f = 1, m = 0 of [-1, 1] to [0, 1])
        return {
            "untreated": untreated(dark, self.x),
            "the start": errors(exposure_of_unit(Exposure.stretching(dark)), DARK),
            "low light": self.low_light(Identity()),
            "low light from f = 1, m = 0": self.low_light(Identity(), start=wrong),
            "low light and holes": self.low_light(Points(holes(self.x.shape[2:]))),
            "low light and 2x super-resolution": self.low_light(BlockAverage(2)),
            "hdr": self.hdr(),
        }


def exposure_of_unit(exposure: Exposure) -> Exposure:
    """f and m of pictures in [0, 1], from those of the same in [-1, 1]."""
    return Exposure(2 * exposure.factor, exposure.offset - exposure.factor)


def holes(shape: torch.Size) -> Tensor:
    """True where the picture is seen: a third of its blocks of 2 x 2 are holes."""
    seen = (
        torch.rand([-(-n // 2) for n in shape], generator=torch.Generator().manual_seed(0)) > 1 / 3
    )
    return seen.repeat_interleave(2, 0).repeat_interleave(2, 1)[: shape[0], : shape[1]]


def untreated(y: Tensor, x: Tensor) -> dict[str, float]:
    """PSNR of y as it is and after scikit-image's equalisations."""
    pictures = y.clamp(0, 1)[:, 0].double().numpy()
    better = {
        name: torch.from_numpy(np.stack([equalise(p) for p in pictures]))[:, None]
        for name, equalise in EQUALISATIONS.items()
    }
    return {"nothing": score(y, x), **{name: score(picture, x) for name, picture in better.items()}}


def score(found: Tensor, x: Tensor) -> float:
    return float(psnr(found.clamp(0, 1), x.to(found)).mean())


def errors(exposure: Exposure, truth: Truth) -> dict[str, Any]:
    """How far f and m are off, of their truth: the mean, the mean size, the largest and the share
    of pictures within 5 %.
    """
    off = {"f": exposure.factor / truth[0] - 1, "m": exposure.offset / truth[1] - 1}
    return {name: summary(value) for name, value in off.items()}


def summary(off: Tensor) -> dict[str, float]:
    size = off.abs()
    within = float((size <= 0.05).float().mean())
    return {
        "mean": float(off.mean()),
        "size": float(size.mean()),
        "largest": float(size.max()),
        "within 5 %": within,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = {}
    for name in options.runs:
        results[name] = Bench.of(name, options.samples, options.steps).figures()
        sys.stderr.write(f"{name}: {json.dumps(results[name], indent=1)}\n")
    known = {
        "low light": {"f": DARK[0], "m": DARK[1], "noise": NOISE},
        "hdr": {"exposures": BRACKET, "noise": BRACKET_NOISE},
        "seed": 0,
    }
    known |= {
        "pictures": {
            name: {"data": RUNS[name][0], "split": "test", "count": RUNS[name][1]}
            for name in options.runs
        }
    }
    write_record(
        {**known, "samples": options.samples, "steps": options.steps, "results": results},
        (unfog, torch, skimage),
        options.out,
    )


if __name__ == "__main__":
    main()
