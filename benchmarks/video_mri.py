"""Frames of a 4-D series between the measured ones, held to the known motion.

    python benchmarks/video_mri.py --run RUN --n 16 --out JSON     # a run of video on beating-t1

Every second frame of held-out clips is known, and the others are drawn: root mean square errors of
the mean beside linear and cubic interpolation in time (scipy), and how often the truth lies within
the draws' 90 % interval, over the pixels of the head. The interval goes between order statistics
of 39 draws, the second from either end, which hold a further draw of the same law with probability
36 / 40.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write_record
from scipy.interpolate import CubicSpline, interp1d
from torch import Tensor

import unfog
import unfog.builtin
from unfog.runs.machine import processor
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.video.data.beating import BeatingT1
from unfog.video.longer import Filler, interpolated

DRAWS, OUTSIDE = 39, 2  # draws, and those of them on either side of the interval and its ends
HEAD = 0.05  # of the largest value: brighter is head


def between(x: Tensor, kind: type | Any) -> Tensor:
    """Every second frame (clips, channels, frames, rows, columns) of the others by a library."""
    times = np.arange(x.shape[2])
    known = x[:, :, ::2].double().numpy()
    return torch.from_numpy(kind(times[::2], known, axis=2)(times[1::2])).float()


def drawn(run: Run, x: Tensor, options: argparse.Namespace) -> Tensor:
    """Draws (draws, clips, channels, frames between, rows, columns) in natural units."""
    plan = Plan.of(run, options.sampler, options.steps)
    filler, found = Filler.of(run, plan, None, options.by), list[Tensor]()
    for number, clip in enumerate(x):
        keys = run.codec.encode(clip[None])[:, :, ::2].expand(DRAWS, -1, -1, -1, -1)
        parts = [
            interpolated(filler, some, 2, range(first, first + len(some)))
            for first, some in zip(
                range(number * DRAWS, (number + 1) * DRAWS, options.batch),
                keys.split(options.batch),
                strict=True,
            )
        ]
        found.append(run.codec.decode(torch.cat(parts))[:, :, 1::2])
    return torch.stack(found, 1).clamp(0, 1)


def figures(options: argparse.Namespace) -> dict[str, Any]:
    """Errors and coverage."""
    run = Run.open(options.run).in_precision("auto")
    data = BeatingT1("test", frames=run.shape[1])
    x = data.batch(range(options.n))["x"]
    truth, draws = x[:, :, 1::2], drawn(run, x, options)
    head = (x > HEAD).any(2, keepdim=True).expand_as(truth)

    def error(guess: Tensor) -> list[float]:
        """The root mean square error of each clip over the head."""
        return [
            float((a - b)[h].square().mean().sqrt())
            for a, b, h in zip(guess, truth, head, strict=True)
        ]

    guesses = {
        "mean of the draws": draws.mean(0),
        "one draw": draws[0],
        "linear": between(x, interp1d),
        "cubic": between(x, CubicSpline),
    }
    errors = {name: error(guess) for name, guess in guesses.items()}
    ordered = draws.sort(0).values
    within = (truth >= ordered[OUTSIDE - 1]) & (truth <= ordered[-OUTSIDE])
    return {
        "run": run.name,
        "training": run.config["training"]["steps"],
        "n": options.n,
        "draws": DRAWS,
        "root mean square error, of the largest value": {
            name: {
                "median": round(float(np.median(each)), 5),
                "clips in which the mean of the draws errs less": sum(
                    ours < theirs
                    for ours, theirs in zip(errors["mean of the draws"], each, strict=True)
                ),
            }
            for name, each in errors.items()
        },
        "share within the 90 % interval": {
            "all": round(float(within[head].double().mean()), 4),
            "by clip": [
                round(float(w[h].double().mean()), 3)
                for w, h in zip(within.unbind(0), head.unbind(0), strict=True)
            ],
        },
        "processor": processor(),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--batch", type=int, default=13)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--sampler")
    parser.add_argument("--by", default="auto")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    write_record(figures(options), (unfog, torch), options.out)


if __name__ == "__main__":
    main()
