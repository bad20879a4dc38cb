"""Latent diffusion: what autoencoders give back, what diffusion in their latents draws beside
diffusion in pixels, and what restoration through the decoder costs.

    python benchmarks/latent.py reconstruct RUN ... --out JSON --figure PNG
    python benchmarks/latent.py diffusion AUTOENCODER --work DIR --steps N --out JSON
    python benchmarks/latent.py restore LATENT_RUN --out JSON

`reconstruct` takes runs of `unfog train autoencoder-kl | autoencoder-vq`, and tells PSNR, the power
that is kept by quarters of the frequencies, and the latents' figures; pairs with and without the
adversarial loss show what it does. `diffusion` trains `latent-diffusion` on Fashion-MNIST and
compares FD-EffNetLite0 of 5000 samples in 20 calls with that of `benchmarks/fashion_mnist.py`,
which trains in pixels for 2400 CPU seconds. `restore` denoises and fills in test pictures with a
latent run and with the shipped prior in pixels.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from record import write_record

import unfog
from unfog.builtin import open_run
from unfog.data.dataset import open_dataset
from unfog.evaluation.distances import compare
from unfog.evaluation.features import NAME, feature_network, image_features
from unfog.evaluation.images import psnr
from unfog.files.output import write_image
from unfog.physics.operators import Identity, Mask
from unfog.report import mosaic
from unfog.report.pictures import shown
from unfog.runs.latent_codecs import AutoencoderCodec
from unfog.runs.machine import processor
from unfog.runs.reconstruct import reconstruct
from unfog.runs.restore import GRID, restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.train import configure, train_config

PIXELS = Path(__file__).parent / "results" / "fashion_mnist.json"
CALLS, IMAGES, SHOWN = 20, 5000, 8
SETTINGS = ["training.batch=64", "training.lr=1e-3", "training.warmup=200", "training.ema_power=12"]


def held_out(data: dict[str, Any]) -> Any:
    """The test part of a data set that has one, else the data set itself."""
    if data["name"] in ("fashion-mnist", "mni-t1", "emoji"):
        return open_dataset({**data, "split": "test"})
    return open_dataset(data)


def reconstructions(paths: list[str], figure: Path | None) -> dict[str, Any]:
    """Figures of each autoencoder on data it has not seen, and a picture of all."""
    results, rows = {}, []
    for path in paths:
        codec = AutoencoderCodec(path)
        found = reconstruct(codec, held_out(codec.config["data"]), 256)
        config = codec.config
        results[Path(path).name] = {
            "data": codec.config["data"]["name"],
            "kind": config["autoencoder"]["name"],
            "factor": codec.network.factor,
            "steps": config["training"]["steps"],
            "adversarial": config["objective"]["adversarial"],
            "parameters": sum(p.numel() for p in codec.network.parameters()),
            **found.figures(),
        }
        low, high = float(found.x.min()), float(found.x.max())
        some = torch.linspace(0, len(found.x) - 1, SHOWN).long()
        rows += [[shown(p, low, high) for p in part[some]] for part in (found.x, found.again)]
    if figure is not None:
        for number in range(0, len(rows), 2):
            name = f"{figure.stem}-{Path(paths[number // 2]).name}{figure.suffix}"
            write_image(figure.with_name(name), mosaic(rows[number : number + 2]), overwrite=True)
    return results


def latent_run(autoencoder: str, work: Path, steps: int) -> tuple[Run, float]:
    """A run of latent diffusion on Fashion-MNIST without its classes, and its CPU seconds."""
    dataset, out = open_dataset("fashion-mnist"), work / "latent"
    cost = work / "cpu_seconds.json"
    if not cost.is_file():
        config = configure(
            "latent-diffusion",
            dataset,
            {"name": "fashion-mnist"},
            [*SETTINGS, f"codec.run={autoencoder}", f"training.steps={steps}"],
        )
        config["conditions"] = {}
        begun = time.process_time()
        train_config(config, dataset, out)
        cost.write_text(json.dumps(time.process_time() - begun))
    return open_run(out), json.loads(cost.read_text())


def diffusion(autoencoder: str, work: Path, steps: int) -> dict[str, Any]:
    """FD of samples from latents, of reconstructions, and of samples from pixels."""
    work.mkdir(parents=True, exist_ok=True)
    run, seconds = latent_run(autoencoder, work, steps)
    plan, begun = Plan.of(run, "dpmpp-2m", CALLS, "trailing"), time.process_time()
    x = draw(run, plan, range(IMAGES), 0, batch=100)
    sampling = time.process_time() - begun
    test = open_dataset({"name": "fashion-mnist", "split": "test"}).batch(range(10_000))["x"] / 255
    again = run.codec.decode(run.codec.encode(255 * test[:IMAGES]))
    network = feature_network()
    features = {
        name: image_features(part.clamp(0, 1), network)
        for name, part in (("latent", x / 255), ("decoded", again / 255), ("test", test))
    }
    reference, other = features["test"][:IMAGES], features["test"][IMAGES:]
    pixels = {r["contestant"]: r for r in json.loads(PIXELS.read_text())["results"]}["ours"]
    pictures = [[shown(p, 0, 255) for p in x[k : k + 8]] for k in range(0, 32, 8)]
    write_image(work / "samples.png", mosaic(pictures), overwrite=True)
    return {
        "autoencoder": Path(autoencoder).name,
        "feature distance": NAME,
        "steps": steps,
        "parameters": sum(p.numel() for p in run.denoiser.parameters()),
        "training cpu seconds": round(seconds, 1),
        "sampling cpu seconds": round(sampling, 1),
        "calls": CALLS,
        "distances": asdict(compare(features["latent"], reference, other)),
        "distances of reconstructions": asdict(compare(features["decoded"], other, reference)),
        "pixels": {
            "frechet": pixels["distances"]["frechet"],
            "training cpu seconds": pixels["training"]["cpu_seconds"],
            "sampling cpu seconds": pixels["sampling"]["cpu_seconds"],
        },
    }


def restorations(source: str, images: int = 8, samples: int = 4) -> dict[str, Any]:
    """PSNR of the mean of a latent run's restorations beside the prior's in pixels."""
    x = open_dataset({"name": "fashion-mnist", "split": "test"}).batch(range(images))["x"]
    hole = torch.ones(1, 1, 28, 28)
    hole[..., 10:18, 10:18] = 0
    results: dict[str, Any] = {}
    generator = torch.Generator().manual_seed(0)
    for task, operator, sigma in (("denoise", Identity(), 40.0), ("fill in", Mask(hole), 5.0)):
        y = operator(x) + sigma * torch.randn(x.shape, generator=generator)
        y = operator.adjoint(y)
        means = {}
        for name, run in (("latent", open_run(source)), ("pixels", open_run("fashion"))):
            begun, plan = time.process_time(), Plan.of(run, steps=20, grid=GRID)
            restored = restore(run, y, operator, sigma, samples=samples, plan=plan)
            means[name] = restored.mean
            results.setdefault(task, {})[name] = {
                "psnr": round(float(psnr(restored.mean, x, value_range=255).mean()), 2),
                "cpu seconds": round(time.process_time() - begun, 1),
            }
        gap = (means["latent"] - means["pixels"]).square().mean().sqrt()
        results[task]["distance"] = round(float(gap), 2)
        results[task]["noise"] = sigma
    return {"images": images, "samples": samples, **results}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("reconstruct", "diffusion", "restore"))
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--work", type=Path, default=Path("latent-benchmark"))
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    if given.part == "reconstruct":
        figures: dict[str, Any] = reconstructions(given.runs, given.figure)
    elif given.part == "diffusion":
        figures = diffusion(given.runs[0], given.work, given.steps)
    else:
        figures = restorations(given.runs[0])
    machine = processor()
    flags = [
        f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in (machine["flags"] or [])
    ]
    figures = {given.part: figures, "processor": [machine["name"], *flags]}
    write_record(figures, (unfog, torch), given.out)


if __name__ == "__main__":
    main()
