"""Whether spoken letters that a model draws are those that were asked for, by a judge of its own.

    python benchmarks/sound_classes.py RUN --each 8 --out JSON

RUN is class-conditional and was trained on some speakers of `speech`, with `data.speakers`. The
judge, a small network on log-mel spectrograms, is trained on real clips of all other speakers; how
well it knows letters of the model's own speakers is what can be hoped for. Among the drawn letters
a right one is expected once in 26 by chance, and so often again when the classes asked for are
shuffled.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write_record
from torch import Tensor, nn

import unfog
from unfog.audio.data.cuts import LABEL
from unfog.audio.data.letters import Speech
from unfog.audio.mel import MelScale
from unfog.audio.workflows.sample import rate_of
from unfog.builtin import open_run
from unfog.runs.machine import processor
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw

BATCH = 32
SHIFT = 0.1  # of a clip's length, by which the judge's clips move in training


class Judge(nn.Module):
    """Letters of log-mel spectrograms (batch, 1, bands, frames)."""

    def __init__(self, classes: int, width: int = 32) -> None:
        super().__init__()
        widths = (1, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((4, 4)), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(64 * width, classes))

    def forward(self, m: Tensor) -> Tensor:
        out: Tensor = self.head(self.layers(m))
        return out


def clips_of(speakers: list[str], options: dict[str, Any], classes: list[str]) -> dict[str, Tensor]:
    """Sounds of speakers and the numbers of their letters."""
    dataset = Speech(**{**options, "split": "all", "speakers": speakers})
    batch = dataset.batch(range(len(dataset)))
    own = torch.tensor([classes.index(name) if name in classes else -1 for name in dataset.classes])
    labels = own[batch[LABEL]]
    return {"x": batch["x"][labels >= 0], "label": labels[labels >= 0]}


def trained_judge(scale: MelScale, clips: dict[str, Tensor], classes: int, epochs: int) -> Judge:
    """A judge trained on real clips, each moved, and its bands partly hidden, at every turn."""
    torch.manual_seed(0)
    judge, m = Judge(classes), scale.log_mel(clips["x"])
    optimiser = torch.optim.AdamW(judge.parameters(), 2e-3, weight_decay=0.02)
    steps = epochs * -(-len(m) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(m)).split(BATCH):
            seen = torch.stack([moved(m[row]) for row in rows])
            loss = nn.functional.cross_entropy(
                judge(seen), clips["label"][rows], label_smoothing=0.1
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return judge.eval()


def moved(m: Tensor) -> Tensor:
    """A spectrogram shifted in time and pitch, quieter, some bands and frames hidden."""
    frames, bands = m.shape[-1], m.shape[-2]
    by = int(torch.randint(0, max(1, int(SHIFT * frames)), ()))
    out = torch.cat([torch.zeros_like(m[..., :by]), m[..., : frames - by]], -1)
    out = torch.roll(out, int(torch.randint(-2, 3, ())), -2)
    band, frame = int(torch.randint(0, bands - 8, ())), int(torch.randint(0, frames - 8, ()))
    out = (out - 0.2 * torch.rand(())).clamp(min=0)
    out[..., band : band + 8, :] = 0
    out[..., frame : frame + 6] = 0
    return out


@torch.no_grad()
def accuracy(judge: Judge, scale: MelScale, x: Tensor, label: Tensor) -> dict[str, Any]:
    """How often a judge is right, with a 95 % interval by Wilson."""
    found = torch.cat([judge(scale.log_mel(part)).argmax(1) for part in x.split(64)])
    n, p, z = len(label), float((found == label).double().mean()), 1.96
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return {"clips": n, "right": p, "low": float(low), "high": float(high)}


def letters_of(run: Run, each: int, guidance: float | None, steps: int | None) -> dict[str, Tensor]:
    """Letters drawn by a run, so many of each class."""
    label = torch.arange(len(classes_of(run))).repeat(each)
    x = draw(
        run,
        Plan.of(run, steps=steps),
        range(len(label)),
        condition={LABEL: label},
        guidance=guidance,
    )
    return {"x": x.clamp(-1, 1), "label": label}


def classes_of(run: Run) -> list[str]:
    """The letters that a run is told."""
    return list(run.config["conditions"][LABEL]["names"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--each", type=int, default=8, help="drawn of each letter")
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--epochs", type=int, default=60, help="of the judge")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = open_run(options.run).in_precision("auto")
    own = run.config["data"].get("speakers")
    if not own:
        raise SystemExit("Train the run on some speakers: --set 'data.speakers=[en, fr, ...]'.")
    classes, scale = classes_of(run), MelScale(rate_of(run))
    told = {"rate": rate_of(run), "frames": run.shape[-1]}
    everyone = sorted(set(Speech(split="all", **told).speakers))
    others = [one for one in everyone if one not in own]
    real = clips_of(others, told, classes)
    judge = trained_judge(scale, real, len(classes), options.epochs)
    known = clips_of(list(own), told, classes)
    drawn = letters_of(run, options.each, options.guidance, options.steps)
    order = torch.randperm(len(drawn["label"]), generator=torch.Generator().manual_seed(0))
    figures = {
        "processor": processor(),
        "run": {"system": run.config["system"], "steps": run.config["training"]["steps"]},
        "guidance": options.guidance,
        "speakers": {"of the run": list(own), "of the judge": others},
        "real clips of the judge": len(real["x"]),
        "chance": 1 / len(classes),
        "real letters of the run's speakers": accuracy(judge, scale, **known),
        "drawn letters": accuracy(judge, scale, **drawn),
        "drawn letters, classes shuffled": accuracy(
            judge, scale, drawn["x"], drawn["label"][order]
        ),
    }
    write_record(figures, (unfog, torch), options.out)


if __name__ == "__main__":
    main()
