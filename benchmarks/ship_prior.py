"""Put a trained run into the package as a prior: averaged weights, config, manifest and a card with
the figures measured on it.

First the commands that train it, below, then one of python benchmarks/t1_prior.py --run
runs/t1-slices --out benchmarks/results/t1_prior.json python benchmarks/ship_prior.py runs/t1-slices
--name t1-slices --results benchmarks/results/t1_prior.json

python benchmarks/dmri_fod.py --prior runs/dmri --snr 20 10 --out benchmarks/results/dmri_fod.json
python benchmarks/ship_prior.py runs/dmri --name dmri --results benchmarks/results/dmri_fod.json

python benchmarks/ship_prior.py runs/dmri-refiner --average runs/dmri-long --name dmri-refiner
--results benchmarks/results/dmri_prior.json python benchmarks/dmri_denoise.py --prior dmri-refiner
--snr 10 20 30 --out benchmarks/results/dmri_prior.json

python benchmarks/medical.py --modality ct --prior runs/ct --slices 3 --calibration 1 --samples 8
--calls 16 \
  --out benchmarks/results/medical_ct.json
python benchmarks/ship_prior.py runs/ct --name head-ct --results benchmarks/results/medical_ct.json

python benchmarks/medical.py --modality textures --prior runs/textures-long --slices 6 --calibration
6 --samples 8 --calls 16 \
  --out benchmarks/results/textures.json
python benchmarks/ship_prior.py runs/textures-long --name textures --results
benchmarks/results/textures.json

python benchmarks/mask_guided.py --run runs/t1-from-tissue --out benchmarks/results/mask_guided.json
python benchmarks/ship_prior.py runs/t1-from-tissue --name t1-from-tissue --results
benchmarks/results/mask_guided.json

python benchmarks/ship_prior.py runs/emoji-autoencoder --name emoji-autoencoder --half --results
benchmarks/results/emoji_autoencoder.json
python benchmarks/text_to_image.py runs/emoji --out benchmarks/results/text_to_image.json
python benchmarks/ship_prior.py runs/emoji --name emoji --half --results
benchmarks/results/text_to_image.json --set sampling.sampler=dpmpp-2m --set sampling.steps=20

python benchmarks/fashion_mnist.py all --work runs/fashion python benchmarks/ship_prior.py
runs/fashion/ours/run --name fashion --results benchmarks/results/fashion_mnist.json \
  --set sampling.sampler=dpmpp-2m --set sampling.steps=20
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch

import unfog
from unfog.runs.build import is_autoencoder
from unfog.runs.config import apply_overrides, load_config
from unfog.runs.encoder_figures import LATENTS
from unfog.runs.folder import CARD, CONFIG, export, load_weights, write_run
from unfog.runs.kept_prompts import keep_prompts
from unfog.runs.run import Run

PROMPTS = {  # drawn without a text encoder, as by the demo
    "emoji": [
        "red heart",
        "blue heart",
        "broken heart",
        "purple square",
        "old man",
        "man construction worker",
        "orange circle",
        "wolf",
        "cat with tears of joy",
        "flag of Italy",
        "green apple",
        "grinning face",
        "woman astronaut",
        "yellow heart",
        "purple circle",
        "crescent moon",
    ]
}
PRIORS = Path(unfog.__file__).parent / "priors"
FACTS = {
    "t1-prior": {
        "voxel_mm": 2.0,
        "plane": "axial slices, 96 x 80 pixels",
        "data": "mni-t1, split train: 98 axial slices and 900 oblique planes of the MNI152 2009a "
        "T1 template, one average brain",
        "held_out": "test slab z = 5..14 mm, validation slab z = 60..67 mm, and 6 mm on each "
        "side of both",
        # far from every slice first, then nearer: samples become brains, the held-out slab is
        # restored as well as before
        "commands": [
            "unfog train t1-prior --data mni-t1 --set data.oblique=900 --out runs/t1-base",
            "unfog train t1-prior --data mni-t1 --set data.oblique=900 --start runs/t1-base "
            "--steps 1500 --set training.lr=3e-4 "
            "--set training.warmup=100 --set augment.rotation=7.2 --set augment.scale=0.09 --set "
            "augment.shift=2.4 "
            "--set augment.elastic=1.5 --set augment.gamma=0.18 --out runs/t1-slices",
        ],
        "licence": "Apache-2.0 for the weights; the template they were trained on is under the "
        "MNI ICBM 152 licence",
    },
    "dmri-prior": {
        "data": "dmri-simulation: random tissue, fibres and kernels of one shell, b = 500 to "
        "3000 s/mm^2; no scan of anybody",
        "held_out": "the phantom of unfog.dmri.simulation.phantom and the scans that come with "
        "DIPY: neither shares code or data with the simulation",
        "input": "harmonics to order 4 of a shell and the mean at b = 0, with white noise of "
        ".002 to .2 of b = 0 in the coefficients",
        "commands": ["unfog train dmri-prior --data dmri-simulation --out runs/dmri"],
        "licence": "Apache-2.0",
    },
    "dmri-refiner": {
        "data": "dmri-simulation and, of the same tissue, dmri-low-rank: simulated scans after "
        "low rank; no scan of anybody",
        "held_out": "the phantom of unfog.dmri.simulation.phantom and the scans that come with "
        "DIPY: neither shares code or data with the simulation",
        "input": "harmonics to order 4 of a shell and the mean at b = 0, after low rank, with "
        "the error to expect of it",
        "commands": [
            "unfog train dmri-prior --data dmri-simulation --start dmri --steps 27000 --seed 1 "
            "--out runs/dmri-long",
            "unfog train dmri-prior --data dmri-simulation --resume --steps 18000 --out "
            "runs/dmri-long",
            "unfog train dmri-refiner --data dmri-low-rank --start runs/dmri-long --steps 4000 "
            "--seed 2 --out runs/dmri-refiner",
            "python benchmarks/ship_prior.py runs/dmri-refiner --average runs/dmri-long --name "
            "dmri-refiner",
        ],
        "licence": "Apache-2.0",
    },
    "ct-prior": {
        "pixel_mm": 2.5,
        "plane": "axial slices, 96 x 96 pixels, front up",
        "data": "head-ct, split train: axial slices and 400 planes that nod by up to 8 degrees, "
        "of one head with a repaired skull",
        "held_out": "test slab 84..94.5 mm and validation slab 126..133.5 mm above the lowest "
        "slice, and 6 mm on each side of both",
        "commands": [
            "unfog train ct-prior --data head-ct --set data.oblique=400 --set data.tilt=8 "
            "--steps 8000 --out runs/ct",
        ],
        "licence": "Apache-2.0 for the weights; the CT they were trained on comes with "
        "InVesalius' examples under GPL-2",
    },
    "t1-from-tissue": {
        "voxel_mm": 2.0,
        "plane": "axial slices, 96 x 80 pixels",
        "data": "mni-tissue, split train: 98 axial slices and 900 oblique planes of the MNI152 "
        "2009a T1 template, one average brain, with labels of its own tissue maps",
        "classes": ["rest", "grey matter", "white matter"],
        "held_out": "test slab z = 5..14 mm, validation slab z = 60..67 mm, and 6 mm on each "
        "side of both",
        "commands": [
            "unfog train t1-from-tissue --start t1-slices --steps 2500 --set training.lr=5e-4 "
            "--set training.warmup=100 --out runs/t1-from-tissue",
        ],
        "licence": "Apache-2.0 for the weights; the template they were trained on is under the "
        "MNI ICBM 152 licence",
    },
    "texture-prior": {
        "data": "textures, split train: 5643 squares of 64 x 64 pixels, strips of three "
        "photographs (brick, grass, gravel) of scikit-image",
        "held_out": "the strips of the splits validation and test, and 8 columns beside each",
        "commands": [
            "unfog train texture-prior --data textures --steps 1600 --out runs/textures",
            "unfog train texture-prior --data textures --start runs/textures --steps 2900 --seed "
            "1 --out runs/textures-long",
        ],
        "licence": "Apache-2.0 for the weights; the photographs are CC0",
    },
    "fashion": {
        "data": "fashion-mnist, split train: 60000 grey pictures of clothes, 28 x 28, without "
        "their classes",
        "held_out": "split test: 10000 pictures",
        # the budget of time gave 8233 steps; config.yaml holds the number and every other setting
        "commands": [
            "python benchmarks/fashion_mnist.py all --work runs/fashion --minutes 20",
        ],
        "licence": "Apache-2.0 for the weights; the data are under the MIT licence",
    },
    "emoji-autoencoder": {
        "data": "emoji, split train: 2796 pictures of 64 x 64 pixels",
        "held_out": "split test: 595 pictures of 328 names that no training picture has",
        "commands": [
            "unfog train autoencoder-kl --data emoji --set autoencoder.channels=16 --set "
            "autoencoder.multipliers=[1,2,4,8] --set autoencoder.latent_channels=16 --set "
            "training.steps=2200 --set training.lr=1e-3 --set objective.start=1400 --out "
            "runs/emoji-autoencoder",
        ],
        "licence": "Apache-2.0 for the weights; the pictures are Microsoft's Fluent emoji, MIT",
    },
    "emoji": {
        "data": "emoji, split train: 2796 pictures of 64 x 64 pixels with their names, in the "
        "latents of emoji-autoencoder",
        "held_out": "split test: 595 pictures of 328 names that no training picture has",
        "text": "minilm: unfog data fetch minilm",
        "commands": [
            "unfog train text-to-image --data emoji --set codec.name=autoencoder --set "
            "codec.run=emoji-autoencoder --steps 6411 --out runs/emoji-base",
            "unfog train text-to-image --data emoji --start runs/emoji-base --set "
            "codec.name=autoencoder --set codec.run=emoji-autoencoder --set training.lr=1.5e-3 "
            "--seed 1 --steps 14625 --out runs/emoji",
        ],
        "licence": "Apache-2.0 for the weights; the pictures are Microsoft's Fluent emoji, MIT",
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--results", type=Path, required=True, help="what the benchmark wrote")
    parser.add_argument(
        "--average",
        type=Path,
        help="ship the mean of the weights with those of this run, where it started",
    )
    parser.add_argument("--note", help="what else was done to make it")
    parser.add_argument("--half", action="store_true", help="keep the weights in half precision")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="sampling.KEY=VALUE",
        help="how the prior is sampled, if not as the run",
    )
    options = parser.parse_args()
    measured, target = json.loads(options.results.read_text()), PRIORS / options.name
    if target.exists():
        shutil.rmtree(target)
    export(options.run, target)
    if is_autoencoder(load_config(target / CONFIG)):
        shutil.copy(options.run / LATENTS, target / LATENTS)
        halve(target, options.half)
        write_card(options, target, load_config(target / CONFIG), measured)
        return
    run = Run.open(target)
    if (
        options.average is not None
    ):  # what fine-tuning gained is kept, and most of what it cost is not (Wortsman et al. 2022)
        start, tuned = Run.open(options.average).denoiser.state_dict(), run.denoiser.state_dict()
        write_run(
            target,
            {name: torch.lerp(value, start[name], 0.5) for name, value in tuned.items()},
            run.config,
        )
        run = Run.open(target)
    if any(not pair.startswith("sampling.") for pair in options.set):
        parser.error("Only the sampling section of a trained run can be set.")
    if options.set:
        write_run(target, run.denoiser.state_dict(), apply_overrides(run.config, options.set))
    halve(target, options.half)
    write_card(options, target, run.config, measured)
    if options.name in PROMPTS:
        keep_prompts(Run.open(target), PROMPTS[options.name])


def halve(target: Path, asked: bool) -> None:
    """Keep the weights in half precision, where that is asked for."""
    if asked:
        halved = {name: value.half() for name, value in load_weights(target).items()}
        write_run(target, halved, load_config(target / CONFIG))


def write_card(
    options: argparse.Namespace, target: Path, config: dict[str, Any], measured: dict[str, Any]
) -> None:
    """Write what is known of the prior beside its weights."""
    lines = (options.run / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line).get("loss", float("nan")) for line in lines[-1000:]]
    card = {
        **FACTS[options.name if options.name in FACTS else config["system"]],
        **({"note": options.note} if options.note else {}),
        "seed": config["training"]["seed"],
        "steps": json.loads(lines[-1])["step"],
        "loss_of_last_1000_steps": sum(losses) / len(losses),
        "parameters": sum(value.numel() for value in load_weights(target).values()),
        "torch": torch.__version__,
        **_interval_scales(measured.get("results")),
        "figures": measured,
    }
    (target / CARD).write_text(json.dumps(card, indent=1) + "\n")


def _interval_scales(results: Any) -> dict[str, Any]:
    """What standard deviations are multiplied by, where it was learned."""
    if not isinstance(results, dict):  # a list of contestants, none of which restores
        return {}
    scales = {
        task: round(value["interval_scale"], 3)
        for task, value in results.items()
        if isinstance(value, dict) and "interval_scale" in value
    }
    return {"interval_scale": scales} if scales else {}


if __name__ == "__main__":
    main()
