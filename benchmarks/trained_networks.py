"""Accuracy per network call on trained networks: calibrated solvers beside every deterministic one
of diffusers, on the same weights.

    python benchmarks/trained_networks.py --run runs/fashion --images 1000
    # trajectory errors, and FD-EffNetLite0 of the pictures
    python benchmarks/trained_networks.py --run t1-slices                     # trajectory errors

The truth is the end of the same trajectory in 200 steps of third-order Adams. All solvers start
from the same noise, none of it used in calibration. The peers also have twice the calls of each
calibrated solver; the peer of the pictures is the one of the least median error. k-diffusion joins
in where it can be imported.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
from accuracy_per_call import by_solver, calibrated, cell, table
from record import write_record
from solver_peers import Solve, diffusers_solvers, edm_solvers, k_diffusion_solvers
from torch import Tensor

import unfog
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM
from unfog.core.random import generator, generators, normal
from unfog.data.dataset import open_dataset
from unfog.evaluation.distances import compare
from unfog.evaluation.features import NAME, feature_network, image_features
from unfog.runs.calibrate import calibrate_run, load_solver
from unfog.runs.run import Run
from unfog.sampling.calibration.calibrate import fine
from unfog.sampling.grids import grids

TRUTH_STEPS, BATCH, HALF = 200, 25, 5000


class Single(Denoiser):
    """A network in float32 under solvers in float64."""

    def __init__(self, inner: Denoiser) -> None:
        super().__init__()
        self.inner, self.process = inner, inner.process

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        return Posterior(self.inner(x_t.float(), t, **condition).mean.double())


def peers(run: Run) -> list[tuple[str, Solve]]:
    """What can sample the run's process."""
    if isinstance(run.denoiser.process, EDM):
        return [*edm_solvers(), *k_diffusion_solvers()]
    return [*diffusers_solvers(table(run.denoiser.process)), *k_diffusion_solvers()]


def frechet(
    run: Run, solve: Solve, calls: int, first: Tensor, images: int, scored: Any, seed: int
) -> dict[str, Any]:
    """FD-EffNetLite0 and KID of the pictures of a solver."""
    drawn = []
    for start in range(0, images, BATCH):
        noise = normal((BATCH, *run.shape), generators(seed, range(start, start + BATCH))).double()
        with torch.no_grad():
            drawn.append(
                run.codec.decode(
                    solve(
                        Single(run.denoiser),
                        noise * run.denoiser.process.sigma(first),
                        calls,
                        first,
                    ).float()
                )
            )
    x = (torch.cat(drawn)[:images].clamp(0, 255).round() / 255).float()
    extractor, reference, real = scored
    found = compare(image_features(x, extractor), reference, real)
    return {"frechet": found.frechet, "floor": found.frechet_floor, "kid": found.kid.value}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True)
    parser.add_argument("--calls", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--n", type=int, default=24, help="trajectories")
    parser.add_argument(
        "--seed",
        type=int,
        default=2,
        help="of the noise; calibration takes 0, and on 1 versions of it were compared",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=0,
        help="pictures for the feature distance, of a run on Fashion-MNIST",
    )
    parser.add_argument("--iterations", type=int, default=24)
    parser.add_argument("--trajectories", type=int, default=64)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        original = Run.open(options.run)
        shutil.copytree(original.path, Path(scratch) / "run")
        run = Run.open(Path(scratch) / "run")
        known = {
            "run": original.name,
            "system": run.config["system"],
            "weights_sha256": run.weights_sha256,
            "feature_distance": NAME,
        }
        sizes = {"trajectories": options.n, "images": options.images, "seed": options.seed}
        for results in measure(run, options):
            if options.out is not None:  # a long run leaves what it has
                write_record(
                    {**known, **sizes, "results": results}, (unfog, torch, diffusers), options.out
                )
    if options.out is None:
        write_record({**known, **sizes, "results": results}, (unfog, torch, diffusers), None)


def measure(run: Run, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Errors, and distances where pictures are asked for: ours by number of calls, the peers' also
    for twice as many.
    """
    first = grids.build(run.config["sampling"]["grid"])(run.denoiser.process, 2)[0]
    with torch.no_grad():
        noise = normal((options.n, *run.shape), generators(options.seed, range(options.n))).double()
        truth = fine(Single(run.denoiser), noise, first, TRUTH_STEPS)
    scored = real_pictures(options.images) if options.images else None
    rivals, results = dict(peers(run)), dict[str, Any]()
    for calls in sorted({count for ours in options.calls for count in (ours, 2 * ours)}):
        found = results[str(calls)] = {}
        if calls in options.calls:
            made = calibrate_run(
                run, calls, trajectories=options.trajectories, iterations=options.iterations
            )
            mine = calibrated(load_solver(run, calls))
            found["ours"] = cell([("unfog calibrated", mine)], truth, calls, first)[0]
            found |= {
                key: made[key]
                for key in ("seconds", "started_from", "error_before", "middle_error_before")
            }
            if scored is not None:
                found["ours"]["distance"] = frechet(
                    run, mine, calls, first, options.images, scored, options.seed
                )
            sys.stderr.write(f"{calls} calls: {json.dumps(found)}\n")
        rows = cell(list(rivals.items()), truth, calls, first)
        found["best_peer"] = {
            key: min((row for row in rows if "rms" in row), key=lambda row: row[key])
            for key in ("rms", "median")
        }
        if scored is not None:
            nearest = found["best_peer"]["median"]
            nearest["distance"] = frechet(
                run, rivals[nearest["solver"]], calls, first, options.images, scored, options.seed
            )
        found["peers"] = by_solver(rows)
        sys.stderr.write(f"{calls} calls: {json.dumps(found['best_peer'])}\n")
        yield results


def real_pictures(images: int) -> tuple[Any, Any, Any]:
    """The feature network, and the features of half of the test pictures and of ``images`` of the
    other half.
    """
    test = (
        open_dataset("fashion-mnist", split="test").batch(
            torch.randperm(2 * HALF, generator=generator(0, "halves"))
        )["x"]
        / 255
    )
    extractor = feature_network()
    return (
        extractor,
        image_features(test[:HALF], extractor),
        image_features(test[HALF : HALF + images], extractor),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
