"""Makes docs/systems.md by running every system: a few training steps on the digits, a few samples,
its parameters counted.

    python docs/make_systems.py

A system that does not run end to end makes this fail: the table has no state that was typed.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import torch

import unfog.builtin  # noqa: F401  (registers every system)
from unfog.data.dataset import ArrayDataset, open_dataset
from unfog.molecules.files import write_xyz
from unfog.molecules.molecule import NUMBERS, Molecule
from unfog.runs.reconstruct import reconstruct
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.train import (
    configure,
    train,
    train_autoencoder,
    train_config,
    train_generator,
    train_joint_encoder,
)
from unfog.systems import get, names

PAGE = Path(__file__).with_name("systems.md")
# for a system that takes no other data
FIELDS = {"name": "random-field", "dims": 3, "size": 16, "patch": 16, "split": "test"}
SOUNDS = {"name": "tones", "count": 64, "frames": 2048}
SOUND = ("diffwave", "diffwave-class", "diffwave-small", "sound-prior", "sound-vocoder")
SPECTROGRAMS = ("mel-autoencoder", "complex-autoencoder", "audio-latent")
OWN: dict[str, dict[str, object]] = {
    **dict.fromkeys((*SOUND, *SPECTROGRAMS), SOUNDS),
    "dmri-refiner": {"name": "dmri-low-rank", "around": 16, "scans": 4},
    "volume-prior": FIELDS,
    "t1-volume-prior": FIELDS,
    "head-prior": {"name": "synthetic-heads", "count": 2, "size": 48, "patch": 16},
    "dynamicrafter": FIELDS,  # clips, as far as it is concerned
    "textile": {"name": "swatches", "count": 12},
    "art": {"name": "photographs", "count": 24},
    "fashion": {"name": "garments", "split": "test"},
    "video": FIELDS,
}
SMALL = ["training.steps=8", "training.batch=8", "training.warmup=2", "training.checkpoint_every=8"]
HEAD = """# Systems

Made by `python docs/make_systems.py`, which trains each system for 8 steps on the digits
(`dmri-refiner`, volumes, clips, sounds, molecules, garments, cloth and art on other data) and draws
2 samples in 10 steps, or decodes 2 of an autoencoder, or embeds 2 of a joint encoder: a system
stands here because it ran. `unfog train SYSTEM --data NAME|PATH --out RUN` trains one in earnest.

| system | what it is | paper | parameters on 8x8 | trains | samples |
|---|---|---|---|---|---|
"""


def model(name: str, run: Path) -> tuple[int, torch.Tensor]:
    """Train a model of data for 8 steps; its parameters and 2 samples."""
    data = OWN.get(name, {"name": "digits"})
    if name == "molecules":
        data = {"name": "molecule-files", "path": str(some_molecules(run.with_name("some.xyz")))}
    settings = SMALL
    if get(name).encoder or get(name).codec == "joint-encoder":
        return of_embeddings(name, run)
    if get(name).codec is not None:  # it works in a latent space
        coder = "mel-autoencoder" if data is SOUNDS else "autoencoder-kl"
        autoencoder(coder, run.with_name("codec"))
        settings = [*SMALL, f"codec.run={run.with_name('codec')}"]
    dataset = open_dataset(data)
    if get(name).text is not None and dataset.captions is not None:  # digits have their names
        settings = [*settings, "text.name=bytes"]
    train_config(configure(name, dataset, data, settings), dataset, run)
    opened = Run.open(run)
    # DiffWave's grid has its own number of steps.
    steps = None if opened.config["sampling"]["grid"] == "betas" else 10
    x = draw(opened, Plan.of(opened, steps=steps), range(2))
    return sum(p.numel() for p in opened.denoiser.parameters()), x


def some_molecules(path: Path) -> Path:
    """A file of methane, water and ammonia."""
    tetrahedron = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.629
    shapes = [("C", "HHHH"), ("O", "HH"), ("N", "HHH")]
    write_xyz(
        path,
        [
            Molecule(
                np.array([NUMBERS[centre], *(NUMBERS[h] for h in others)]),
                np.vstack([np.zeros((1, 3)), tetrahedron[: len(others)]]),
            )
            for centre, others in 3 * shapes
        ],
    )
    return path


def of_embeddings(name: str, run: Path) -> tuple[int, torch.Tensor]:
    """As ``model``, of one that is told of embeddings or models them."""
    joint_encoder("contrastive", run.with_name("joint"))
    key = "encoder.run" if get(name).encoder else "codec.run"
    settings = {pair.split("=")[0]: int(pair.split("=")[1]) for pair in SMALL}
    opened = train(
        name, named_digits(), run, settings={**settings, key: str(run.with_name("joint"))}
    )
    x = draw(opened, Plan.of(opened, steps=10), range(2))
    return sum(p.numel() for p in opened.denoiser.parameters()), x


def joint_encoder(name: str, run: Path) -> tuple[int, torch.Tensor]:
    """Train a joint encoder for 8 steps; its parameters and 2 embeddings."""
    settings = {pair.split("=")[0]: int(pair.split("=")[1]) for pair in SMALL}
    codec = train_joint_encoder(name, named_digits(), run, settings=settings)
    parameters = sum(p.numel() for p in codec.network.parameters())
    return parameters, codec.encode(named_digits().batch([0, 1])["x"])


def named_digits() -> ArrayDataset:
    """The digits with a text of one token, which says what they show."""
    digits = open_dataset("digits").batch(range(200))
    words = torch.eye(10)[digits["label"]][:, None]
    text = {"text": {"name": "tokens", "size": 10}}
    codec = {"name": "range", "low": 0.0, "high": 16.0}
    return ArrayDataset("memory", digits["x"], codec, text, {"text": words})


def autoencoder(name: str, run: Path) -> tuple[int, torch.Tensor]:
    """Train an autoencoder for 8 steps; its parameters and 2 reconstructions."""
    settings = dict(pair.split("=") for pair in [*SMALL, "objective.start=4"])
    own = OWN.get(name, {"name": "digits"})
    options = {f"data.{key}": value for key, value in own.items() if key != "name"}
    codec = train_autoencoder(
        name,
        str(own["name"]),
        run,
        settings={**options, **{key: int(value) for key, value in settings.items()}},
    )
    parameters = sum(p.numel() for p in codec.network.parameters())
    return parameters, reconstruct(codec, open_dataset(own), 2).again


def generator(name: str, run: Path) -> tuple[int, torch.Tensor]:
    """Train a generator for 8 steps; its parameters and 2 samples."""
    settings = {pair.split("=")[0]: int(pair.split("=")[1]) for pair in SMALL}
    opened = train_generator(name, "digits", run, settings=settings)
    return sum(p.numel() for p in opened.model.parameters()), opened.sample(2)


def row(name: str) -> str:
    """Run a system and say what came of it."""
    system = get(name)
    makers = {
        "autoencoder": autoencoder,
        "joint encoder": joint_encoder,
        "generator": generator,
        "denoiser": model,
    }
    make = makers[system.trains]
    with tempfile.TemporaryDirectory() as folder:
        parameters, x = make(name, Path(folder) / "run")
        losses = losses_of(Path(folder) / "run")
    if not (len(losses) == 8 and all(map(math.isfinite, losses)) and bool(x.isfinite().all())):
        raise SystemExit(f"{name} does not run.")
    return f"| `{name}` | {system.summary} | {system.paper} | {parameters:,} | yes | yes |\n"


def losses_of(run: Path) -> list[float]:
    """The loss of each update of a run, from its log."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines if "loss" in json.loads(line)]


def page() -> str:
    """The whole page."""
    return HEAD + "".join(row(name) for name in names())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
