"""What networks learn in as many steps: EDM on scikit-learn's digits (8 x 8), each network on the
first 1500 and judged on the other 297.

    python benchmarks/networks.py --steps 1000 --out benchmarks/results/networks.json

The figure is the mean squared error of E[x_0 | x_t] on the scale [-1, 1], beside those of the
training mean and of the best linear denoiser, which knows mean and covariance of the training
digits.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from record import write_record
from torch import Tensor

import unfog
from unfog.data.dataset import open_dataset
from unfog.data.memory import Memory
from unfog.runs.run import Run

SIGMAS, SIGMA_MAX, TRAINING = (0.25, 0.5, 1.0), 80.0, 1500
DIT: dict[str, Any] = {"network.name": "dit", "network.depth": 4, "network.heads": 4}
NETWORKS: dict[str, dict[str, Any]] = {
    "unet": {"network.channels": 32, "network.groups": 8, "network.blocks": 1},
    "dit, patch 1": {**DIT, "network.width": 64, "network.patch": 1},
    "dit, patch 2": {**DIT, "network.width": 96},
    "dit, patch 2, rotary": {**DIT, "network.width": 96, "network.positions": "rotary"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    digits = open_dataset({"name": "digits"})
    batch = digits.batch(range(len(digits)))
    x, labels = batch["x"] / 8 - 1, batch["label"]
    train = Memory(x[:TRAINING], labels[:TRAINING], value_range=(-1, 1))
    rows = {name: row(config, train, x, labels, options.steps) for name, config in NETWORKS.items()}
    figures = {
        "steps": options.steps,
        "threads": torch.get_num_threads(),
        "sigma": SIGMAS,
        "mean squared error": {
            "training mean": [errors(x, s)[0] for s in SIGMAS],
            "best linear denoiser": [errors(x, s)[1] for s in SIGMAS],
            **{name: row.pop("errors") for name, row in rows.items()},
        },
        "networks": rows,
    }
    write_record(figures, (unfog, torch), options.out)


def row(
    config: dict[str, Any], train: Memory, x: Tensor, labels: Tensor, steps: int
) -> dict[str, Any]:
    """A network's parameters, seconds of training and errors on what it has not seen."""
    settings = {**config, "training.lr": 2e-3, "training.precision": "fp32"}
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = unfog.train("edm", train, Path(folder) / "run", steps=steps, settings=settings)
    return {
        "settings": config,
        "parameters": sum(p.numel() for p in run.denoiser.parameters()),
        "seconds": round(time.perf_counter() - begun, 1),
        "errors": [network_error(run, x, labels, s) for s in SIGMAS],
    }


@torch.no_grad()
def network_error(run: Run, x: Tensor, labels: Tensor, sigma: float) -> float:
    x_t, t = noisy(x, sigma).float(), torch.tensor(sigma / SIGMA_MAX, dtype=torch.float64)
    mean = run.denoiser(x_t, t, label=labels[TRAINING:]).mean
    return round(float((mean - x[TRAINING:]).square().mean()), 5)


def noisy(x: Tensor, sigma: float) -> Tensor:
    """The digits that no network has seen, with noise: the same for all."""
    unseen = x[TRAINING:].double()
    generator = torch.Generator().manual_seed(5)
    return unseen + sigma * torch.randn(unseen.shape, generator=generator).double()


def errors(x: Tensor, sigma: float) -> tuple[float, float]:
    """The errors of the training mean, and of mean + C (C + sigma^2)^-1 (x_t - mean)."""
    flat, unseen = x[:TRAINING].flatten(1).double(), x[TRAINING:].flatten(1).double()
    mean, c = flat.mean(0), torch.cov(flat.T)
    gain = torch.linalg.solve(c + sigma**2 * torch.eye(len(c)).double(), c)
    linear = mean + (noisy(x, sigma).flatten(1) - mean) @ gain
    return tuple(round(float((e - unseen).square().mean()), 5) for e in (mean, linear))


if __name__ == "__main__":
    main()
