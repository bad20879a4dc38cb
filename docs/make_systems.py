"""Makes docs/systems.md by running every system: a few training steps on the digits, a few samples,
its parameters counted.

    python docs/make_systems.py

A system that does not run end to end makes this fail: the table has no state that was typed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from unfog.data.dataset import open_dataset
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.train import configure, train_config
from unfog.systems import get, names

PAGE = Path(__file__).with_name("systems.md")
# for a system that takes no other data
OWN = {"dmri-refiner": {"name": "dmri-low-rank", "around": 16, "scans": 4}}
SMALL = ["training.steps=8", "training.batch=8", "training.warmup=2", "training.checkpoint_every=8"]
HEAD = """# Systems

Made by `python docs/make_systems.py`, which trains each system for 8 steps on the digits
(`dmri-refiner` on its own data) and draws 2 samples in 10 steps: a system stands here because it
ran. `unfog train SYSTEM --data NAME|PATH --out RUN` trains one in earnest.

| system | what it is | paper | parameters on 8x8 | trains | samples |
|---|---|---|---|---|---|
"""


def row(name: str) -> str:
    """Run a system and say what came of it."""
    data = OWN.get(name, {"name": "digits"})
    dataset, system = open_dataset(data), get(name)
    config = configure(name, dataset, data, SMALL)
    with tempfile.TemporaryDirectory() as folder:
        result = train_config(config, dataset, Path(folder) / "run")
        run = Run.open(Path(folder) / "run")
        x = draw(run, Plan.of(run, steps=10), range(2))
    trains, samples = (
        result.loss == result.loss and result.updates == 8,
        bool(torch.isfinite(x).all()),
    )
    if not (trains and samples):
        raise SystemExit(f"{name} does not run.")
    parameters = sum(p.numel() for p in run.denoiser.parameters())
    return f"| `{name}` | {system.summary} | {system.paper} | {parameters:,} | yes | yes |\n"


def page() -> str:
    """The whole page."""
    return HEAD + "".join(row(name) for name in names())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
