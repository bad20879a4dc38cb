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

python benchmarks/molecules.py samples runs/qm9 --out benchmarks/results/molecules.json
python benchmarks/ship_prior.py runs/qm9 --name qm9 --half --results
benchmarks/results/molecules.json

python benchmarks/heads.py --prior runs/head --peers peers/bm4d --out benchmarks/results/heads.json
python benchmarks/ship_prior.py runs/head --name head --half --set sampling.mirrored=true --results
benchmarks/results/heads.json

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
from prior_facts import FACTS

import unfog
import unfog.builtin
from unfog.runs.build import is_autoencoder
from unfog.runs.config import apply_overrides, load_config
from unfog.runs.encoder_figures import LATENTS
from unfog.runs.folder import CARD, CONFIG, export, load_weights, relist, write_run
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
    relist(target)


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
