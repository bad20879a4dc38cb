"""What a run of clips draws, held to the truth of its data.

    python benchmarks/video.py moving --run RUN --n 64 --out JSON     # of moving-fashion
    python benchmarks/video.py clips --run RUN --n 32 --out JSON      # of clips: prediction

``moving``: speeds of what moves against the true law, beside real and shuffled clips; whether an
independent network tells the frames' order; whether what moves stays the same piece, by an
independent classifier; the speed after four times the length. ``clips``: the next 4 frames of
held-out clips, beside the last frame repeated and extrapolation by optical flow.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write_record
from torch import Tensor, nn
from torch.nn import functional as F

import unfog
import unfog.builtin
from unfog.core.random import generator
from unfog.runs.run import Run, data_range
from unfog.runs.sample import Plan
from unfog.video import frame_rate
from unfog.video.data.bundled import Clips
from unfog.video.data.moving_fashion import SPRITE, MovingFashion
from unfog.video.flow import extrapolated
from unfog.video.longer import Filler, extended
from unfog.video.metrics import (
    clip_distance,
    frame_psnr,
    frame_ssim,
    shuffled,
    temporal_error,
    wasserstein,
)
from unfog.video.speed import centres, speeds

FPS, LAW, AHEAD = 8.0, 4000, 4
# Of each class of Fashion-MNIST: tops, trousers, shoes and bags.
KINDS = torch.tensor([0, 1, 0, 0, 0, 2, 0, 2, 3, 2])


def draws(
    run: Run, options: argparse.Namespace, start: Tensor, frames: int, fps: float = FPS
) -> Tensor:
    """Clips in natural units that go on after ``start`` on the model's scale, a few at a time."""
    plan = Plan.of(run, options.sampler, options.steps)
    filler, parts = Filler.of(run, plan, fps, options.by), list[Tensor]()
    for first in range(0, len(start), options.batch):
        some = start[first : first + options.batch]
        ids = range(first, first + len(some))
        parts.append(run.codec.decode(extended(filler, some, frames, ids)))
    return torch.cat(parts).clamp(*data_range(run))


# --- moving-fashion


def moving(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of ``moving``."""
    run = Run.open(options.run).in_precision("auto")
    frames, n = run.shape[1], options.n
    data = MovingFashion("test", frames=frames, size=run.shape[2], rates=[FPS])
    law = data.trajectories(range(10_000, 10_000 + LAW)).speeds.ravel()
    real, other = (data.batch(range(a, a + n))["x"] for a in (0, n))
    nothing = torch.zeros(n, 1, 0, *run.shape[2:])
    long = draws(run, options, nothing, 4 * frames)
    drawn, rate = long[:, :, :frames], torch.full((n,), FPS)

    def distance(x: Tensor) -> dict[str, float | None]:
        """The distance, and how many moves could be followed; none where nothing could."""
        found = speeds(x, rate, 255)
        return {
            "distance": rounded(wasserstein(found, law)) if len(found) else None,
            "moves": len(found),
        }

    quarters = [speeds(part, rate, 255) for part in long.chunk(4, 2)]
    distances = clip_distance(drawn, real, other, 255)
    return {
        "run": run.name,
        "n": n,
        "speed, Wasserstein distance to the law, pixels a second": {
            "drawn": distance(drawn),
            "real": distance(real),
            "drawn, shuffled": distance(shuffled(drawn)),
        },
        "mean speed by quarters of 4 times the length": [
            rounded(float(q.mean())) if len(q) else None for q in quarters
        ],
        "mean speed of the law": round(float(law.mean()), 2),
        "order told from shuffled": order(data, drawn, options.judge),
        "same class in first and last frame": {
            "drawn": identity(drawn),
            "real": identity(real),
        },
        "flow-warped error": {
            "drawn": round(float(temporal_error(drawn[:16], 255).mean()), 4),
            "real": round(float(temporal_error(real[:16], 255).mean()), 4),
        },
        "Frechet distance of motion features": {
            "drawn": distances.frechet,
            "floor": distances.floor,
            "n": n,
        },
    }


def order(data: MovingFashion, drawn: Tensor, steps: int) -> dict[str, float]:
    """The share of clips that an independent network, trained on real ones, puts in order."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(1, 16, (3, 5, 5), stride=(1, 2, 2), padding=1),
        nn.ReLU(),
        nn.Conv3d(16, 32, 3, stride=(1, 2, 2), padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(32, 1),
    )
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    _, frames, size, _ = data.shape
    train = MovingFashion("train", frames=frames, size=size, rates=[FPS])
    for step in range(steps):
        x = train.batch(range(8 * step, 8 * step + 8))["x"] / 255
        both = torch.cat([x, shuffled(x, step)])
        target = torch.cat([torch.ones(8), torch.zeros(8)])
        loss = F.binary_cross_entropy_with_logits(network(both)[:, 0], target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def right(x: Tensor) -> float:
        with torch.no_grad():
            ordered, mixed = (network(part / 255)[:, 0] > 0 for part in (x, shuffled(x)))
        return round(float((ordered.double().mean() + 1 - mixed.double().mean()) / 2), 3)

    return {"drawn": right(drawn), "real, held out": right(data.batch(range(64))["x"])}


def rounded(value: float) -> float:
    """A figure to three digits behind the point."""
    return round(value, 3)


def identity(clips: Tensor) -> float | None:
    """The share of clips, of those with both pieces apart at either end, whose pieces are of the
    same classes in the first and the last frame.
    """
    classify, agreed = classifier(), list[bool]()
    for clip in clips[:, 0].double().numpy() / 255:
        ends = [centres(clip[0]), centres(clip[-1])]
        if not all(len(places) == 2 for places in ends):
            continue
        first, last = (
            sorted(classify(crop(frame, place)) for place in places)
            for frame, places in zip((clip[0], clip[-1]), ends, strict=True)
        )
        agreed.append(first == last)
    return rounded(float(np.mean(agreed))) if agreed else None


def crop(frame: np.ndarray, centre: np.ndarray) -> Tensor:
    """The piece about a centre, (1, 1, 14, 14)."""
    padded = np.pad(frame, SPRITE)
    row, column = (round(float(c)) + SPRITE - SPRITE // 2 for c in centre)
    piece = padded[row : row + SPRITE, column : column + SPRITE]
    return torch.from_numpy(np.ascontiguousarray(piece)).float()[None, None]


_KEPT: list[Any] = []


def classifier() -> Any:
    """A classifier of pieces into the four kinds that small pictures tell: tops, trousers, shoes
    and bags. It is trained once, on moved pictures of the training split.
    """
    if _KEPT:
        return _KEPT[0]
    torch.manual_seed(0)
    data = MovingFashion("train")
    x, labels = torch.from_numpy(data._pictures) / 255, KINDS[torch.from_numpy(data._labels)]
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 49, 4),
    )
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    g = generator(0, "classifier")
    for _ in range(600):
        rows = torch.randint(len(x), (64,), generator=g)
        shift = torch.randint(-1, 2, (2,), generator=g).tolist()
        some = x[rows, None].roll(shift, (2, 3))
        loss = F.cross_entropy(network(some), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def classify(piece: Tensor) -> int:
        with torch.no_grad():
            return int(network(piece).argmax())

    _KEPT.append(classify)
    return classify


# --- clips


def clips(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of ``clips``: PSNR and SSIM of the next frames."""
    run = Run.open(options.run).in_precision("auto")
    section = {k: v for k, v in run.config["data"].items() if k not in ("name", "split")}
    data = Clips("test", **section)
    numbers = np.linspace(0, len(data) - 1, options.n).round().astype(int)
    batch = data.batch(numbers)
    x, known = batch["x"], run.shape[1] - AHEAD
    start = run.codec.encode(x[:, :, :known]).repeat_interleave(options.draws, 0)
    rate = float(batch[frame_rate.NAME].median())
    drawn = draws(run, options, start, run.shape[1], rate)[:, :, known:]
    mean = drawn.unflatten(0, (-1, options.draws)).mean(1)
    truth = x[:, :, known:]
    ahead = [extrapolated(c.movedim(1, 0).double().numpy() / 255, AHEAD) for c in x[:, :, :known]]
    guesses = {
        "mean of the draws": mean,
        "one draw": drawn[:: options.draws],
        "last frame repeated": x[:, :, known - 1 : known].expand_as(truth),
        "extrapolated by flow": torch.from_numpy(np.stack(ahead)).movedim(2, 1).float() * 255,
    }
    return {
        "run": run.name,
        "n": options.n,
        "draws": options.draws,
        "PSNR by frame, dB": {
            name: [round(v, 2) for v in frame_psnr(guess, truth, 255).mean(0).tolist()]
            for name, guess in guesses.items()
        },
        "SSIM by frame": {
            name: [round(v, 4) for v in frame_ssim(guess, truth, 255).mean(0).tolist()]
            for name, guess in guesses.items()
        },
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["moving", "clips"])
    parser.add_argument("--run", required=True)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--sampler")
    parser.add_argument("--by", default="auto")
    parser.add_argument("--judge", type=int, default=300, help="its training steps")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = {"moving": moving, "clips": clips}[options.part](options)
    write_record(figures, (unfog, torch), options.out)


if __name__ == "__main__":
    main()
