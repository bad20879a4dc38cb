"""Whether spoken letters that a model draws are those that were asked for, by a judge of its own.

    python benchmarks/sound_classes.py RUN --each 8 --out JSON

RUN is class-conditional and was trained on some speakers of `speech`, with `data.speakers`. The
judge (sound_judge.py) is trained on real clips of all other speakers; how well it knows letters of
the model's own speakers is what can be hoped for. Among the drawn letters
a right one is expected once in 26 by chance, and so often again when the classes asked for are
shuffled.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from record import write_record
from sound_judge import LETTERS, Judge, Spoken, trained_judge
from torch import Tensor

import unfog
from unfog.audio.data.cuts import LABEL
from unfog.builtin import open_run
from unfog.runs.machine import processor
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw


def accuracy(judge: Judge, x: Tensor, label: Tensor) -> dict[str, Any]:
    """How often a judge is right, with a 95 % interval by Wilson."""
    n, z = len(label), 1.96
    p = float((judge.heard(x) == label).double().mean())
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return {"clips": n, "right": p, "low": low, "high": high}


def real_letters(speakers: list[str]) -> dict[str, Tensor]:
    """Recorded letters of speakers, as long as the longest, and their numbers."""
    clips = Spoken.of("letters", speakers)
    x = torch.zeros(len(clips.sounds), 1, max(len(one) for one in clips.sounds))
    for row, one in zip(x, clips.sounds, strict=True):
        row[0, : len(one)] = torch.from_numpy(one)
    return {"x": x, "label": torch.tensor([LETTERS.index(name) for name in clips.names])}


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
    parser.add_argument("--epochs", type=int, default=100, help="of the judge")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = open_run(options.run).in_precision("auto")
    own = run.config["data"].get("speakers")
    if not own or "".join(classes_of(run)) != LETTERS:
        raise SystemExit("Train the run on letters of speakers: --set 'data.speakers=[en, fr]'.")
    others = [one for one in sorted(set(Spoken.of("letters").speakers)) if one not in own]
    judge = trained_judge(others, options.epochs)
    drawn = letters_of(run, options.each, options.guidance, options.steps)
    order = torch.randperm(len(drawn["label"]), generator=torch.Generator().manual_seed(0))
    figures = {
        "processor": processor(),
        "run": {"system": run.config["system"], "steps": run.config["training"]["steps"]},
        "guidance": options.guidance,
        "speakers": {"of the run": list(own), "of the judge": others},
        "chance": 1 / len(LETTERS),
        "real letters of the run's speakers": accuracy(judge, **real_letters(list(own))),
        "drawn letters": accuracy(judge, **drawn),
        "drawn letters, classes shuffled": accuracy(judge, drawn["x"], drawn["label"][order]),
    }
    write_record(figures, (unfog, torch), options.out)


if __name__ == "__main__":
    main()
