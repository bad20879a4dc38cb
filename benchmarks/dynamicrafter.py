"""What the streams of a small DynamiCrafter do, on held-out moving-fashion with one piece.

    python benchmarks/dynamicrafter.py --run RUN --n 64 --out JSON --figure PNG --gif GIF

The run is one of ``dynamicrafter`` with ``data.pieces=1`` and ``conditions.frames.drop`` above 0,
so that it knows what to do without either stream. Each held-out first frame is animated with both
streams, without the frames beside the noise, without the tokens of the picture, and without
either: the PSNR of the first frame, and in how many clips an independent classifier, trained on
other pictures, finds the true kind (tops, trousers, shoes, bags) in the middle frame. Speeds are
held to the law of the data; clips between two frames, of one true clip, to both of them; and the
direction that a text names, to where the piece goes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from record import write_record
from torch import Tensor
from video import KINDS, classifier, crop

import unfog
import unfog.builtin
from unfog.data.builtin.labelled_pictures import CLOTHES
from unfog.runs.machine import processor
from unfog.runs.run import Run
from unfog.video.animate import told_clips
from unfog.video.data.moving_fashion import MovingFashion
from unfog.video.dynamicrafter.conditions import ends, repeated
from unfog.video.metrics import wasserstein
from unfog.video.speed import centres, speeds

FPS, LAW, SHOWN, ZOOM = 8.0, 4000, 6, 2
FRAMES, IMAGE = "frames", "image"  # names of the streams
WAYS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


def drawn(run: Run, known: Tensor, without: tuple[str, ...] = (), **options: Any) -> Tensor:
    """A clip for each of the known clips on the model's scale, some streams hidden by zeros, which
    is what both were hidden by in training.
    """
    parts: Any = dict(run.denoiser.conditioner.named())
    kept: dict[str, Callable[[Tensor], Any]] = {name: parts[name].embed for name in without}
    for name, embed in kept.items():
        parts[name].embed = lambda value, embed=embed: embed(torch.zeros_like(value))
    try:
        return told_clips(run, known, samples=len(known), fps=FPS, **options).clamp(0, 255)
    finally:
        for name in without:
            del parts[name].embed


def psnr(a: Tensor, b: Tensor) -> float:
    """Of frames (clips, 1, rows, columns) in [0, 255], the mean over the clips, in dB."""
    error = (a - b).square().mean((1, 2, 3)).clamp(min=1e-3)
    return round(float((10 * (255**2 / error).log10()).mean()), 2)


def kinds(clips: Tensor, labels: np.ndarray) -> dict[str, Any]:
    """In how many clips the middle frame shows one piece, of the true kind."""
    classify, truth = classifier(), KINDS[torch.from_numpy(labels)]
    right, seen = 0, 0
    for clip, kind in zip(clips[:, 0].double().numpy() / 255, truth.tolist(), strict=True):
        frame = clip[len(clip) // 2]
        places = centres(frame)
        seen += len(places) == 1
        right += len(places) == 1 and classify(crop(frame, places[0])) == kind
    return {"right": round(right / len(clips), 3), "one piece": round(seen / len(clips), 3)}


def directions(run: Run, known: Tensor, options: dict[str, Any]) -> dict[str, float]:
    """The share of clips of bags whose piece first goes where the text says, by direction."""
    found = {}
    for word in WAYS:
        clips = drawn(run, known, prompt=f"a bag moving {word}", **options)
        moves = []
        for clip in clips[:, 0].double().numpy() / 255:
            first, later = centres(clip[0]), centres(clip[2])
            if len(first) == len(later) == 1:
                move = later[0] - first[0]
                moves.append(np.argmax([move @ np.array(w) for w in WAYS.values()]))
        found[word] = round(float(np.mean(np.array(moves) == list(WAYS).index(word))), 3)
    return found


def strip(rows: list[Tensor], path: Path) -> None:
    """Clips (1, frames, rows, columns) one below the other, frame beside frame."""
    lines = [torch.nn.functional.pad(clip[0], (1, 1, 1, 1), value=96) for clip in rows]
    picture = torch.cat([torch.cat(list(line), 1) for line in lines]).byte().numpy()
    Image.fromarray(picture).resize([ZOOM * s for s in picture.shape[::-1]], 0).save(path)


def player(clips: Tensor, path: Path) -> None:
    """Clips (n, 1, frames, rows, columns) beside one another as a GIF."""
    padded = torch.nn.functional.pad(clips[:, 0], (1, 1, 1, 1), value=96).byte()
    frames = [Image.fromarray(torch.cat(list(f), 1).numpy()) for f in padded.unbind(1)]
    frames = [f.resize([ZOOM * s for s in f.size], 0) for f in frames]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=125, loop=0)


def figures(options: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    run, n = Run.open(options.run).in_precision("auto"), options.n
    section = {k: v for k, v in run.config["data"].items() if k not in ("name", "split")}
    data = MovingFashion("test", **section | {"rates": [FPS], "count": 20_000})
    x, labels = data.batch(range(n))["x"], data.labels(range(n))[:, 0]
    first, last = x[:, :, 0], x[:, :, -1]
    latent, rate = run.codec.encode(x), np.full(n, FPS)
    which = np.flatnonzero(data.labels(range(20 * n))[:, 0] == CLOTHES.index("bag"))[: n // 2]
    bags = run.codec.encode(data.batch(which)["x"])
    given: dict[str, Any] = {"batch": options.batch, "steps": options.steps}
    ways = {
        "both streams": (),
        "without the frames beside the noise": (FRAMES,),
        "without the tokens of the picture": (IMAGE,),
        "without either": (FRAMES, IMAGE),
    }
    clips = {name: drawn(run, repeated(latent), without, **given) for name, without in ways.items()}
    between = drawn(run, ends(latent), **given)
    law = data.trajectories(range(10_000, 10_000 + LAW)).speeds.ravel()
    if options.figure:
        shown = [k for pair in zip(x, clips["both streams"], strict=True) for k in pair]
        strip(shown[: 2 * SHOWN], options.figure)
    if options.gif:
        player(clips["both streams"][:SHOWN], options.gif)
    return {
        "run": run.name,
        "training": run.config["training"]["steps"],
        "n": n,
        "streams": {
            name: {"first frame, PSNR": psnr(c[:, :, 0], first), "kind": kinds(c, labels)}
            for name, c in clips.items()
        },
        "of the true clips": {
            "codec, PSNR": psnr(run.codec.decode(latent)[:, :, 0], first),
            "kind": kinds(x, labels),
        },
        "speed, Wasserstein distance to the law, pixels a second": {
            name: round(wasserstein(speeds(c, rate, 255, objects=1), law), 3)
            for name, c in {"drawn": clips["both streams"], "real": x}.items()
        },
        "between two frames, PSNR": {
            "of the first": psnr(between[:, :, 0], first),
            "of the last": psnr(between[:, :, -1], last),
            "of the last, animated from the first alone": psnr(
                clips["both streams"][:, :, -1], last
            ),
        },
        "goes where the text says (chance .25)": (
            directions(run, repeated(bags), given | {"guidance": options.guidance})
            if "text" in run.config["conditions"]
            else None
        ),
        "processor": processor(),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float, default=3.0, help="towards the text")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--gif", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    write_record(figures(options), (unfog, torch), options.out)


if __name__ == "__main__":
    main()
