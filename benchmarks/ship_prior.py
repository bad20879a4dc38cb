"""Put a trained run into the package as a prior: averaged weights, config, manifest and a card with the figures measured on it.

First the commands in COMMANDS, then
python benchmarks/t1_prior.py --run runs/t1-slices --out benchmarks/results/t1_prior.json
python benchmarks/ship_prior.py runs/t1-slices --name t1-slices --results benchmarks/results/t1_prior.json
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

import unfog
from unfog.systems.run import CARD, Run, export

COMMANDS = [  # far from every slice first, then nearer: samples become brains, and the held-out slab is restored as well as before
    "unfog train t1-prior --data mni-t1 --set data.oblique=900 --out runs/t1-base",
    "unfog train t1-prior --data mni-t1 --set data.oblique=900 --start runs/t1-base --steps 1500 --set training.lr=3e-4 "
    "--set training.warmup=100 --set augment.rotation=7.2 --set augment.scale=0.09 --set augment.shift=2.4 --set augment.elastic=1.5 "
    "--set augment.gamma=0.18 --out runs/t1-slices",
]
PRIORS = Path(unfog.__file__).parent / "priors"
FACTS = {
    "voxel_mm": 2.0,
    "plane": "axial slices, 96 x 80 pixels",
    "data": "mni-t1, split train: 98 axial slices and 900 oblique planes of the MNI152 2009a T1 template, one average brain",
    "held_out": "test slab z = 5..14 mm, validation slab z = 60..67 mm, and 6 mm on each side of both",
    "licence": "Apache-2.0 for the weights; the template they were trained on is under the MNI ICBM 152 licence",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--results", type=Path, required=True, help="what benchmarks/t1_prior.py wrote")
    options = parser.parse_args()
    measured, target = json.loads(options.results.read_text()), PRIORS / options.name
    if target.exists():
        shutil.rmtree(target)
    export(options.run, target)
    run = Run.open(target)
    lines = (options.run / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line).get("loss", float("nan")) for line in lines[-1000:]]
    card = {
        **FACTS,
        "commands": COMMANDS,
        "seed": run.config["training"]["seed"],
        "steps": json.loads(lines[-1])["step"],
        "loss_of_last_1000_steps": sum(losses) / len(losses),
        "parameters": sum(p.numel() for p in run.denoiser.parameters()),
        "torch": torch.__version__,
        "interval_scale": {task: round(value["interval_scale"], 3) for task, value in measured["results"].items()},
        "figures": measured,
    }
    (target / CARD).write_text(json.dumps(card, indent=1) + "\n")


if __name__ == "__main__":
    main()
