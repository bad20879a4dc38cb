"""Whether spoken letters that a model draws are heard as those that were asked for.

    python benchmarks/sound_classes.py RUN --each 8 --out JSON

RUN is class-conditional and was trained on letters of English speakers of `speech`, such as
`data.speakers=[en, en_GB]`; it draws samples, or spectrograms (the codec `mel`), which become
sounds by --vocoder or by Griffin and Lim's method. The judge (sound_judge.py) is a recogniser that
others have trained on other speakers. How well it knows the run's own recordings, as they are and
through spectrograms, is what can be hoped for. Among the drawn letters a right one is expected once
in 26 by chance, and so often again when the classes asked for are shuffled.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from record import write_record
from sound_judge import LETTERS, RATE, Judge, spoken
from torch import Tensor

import unfog
from unfog.audio.data.cuts import LABEL
from unfog.audio.griffin_lim import griffin_lim
from unfog.audio.inversion import inverted
from unfog.audio.mel import MelScale
from unfog.audio.mel_codec import spectrograms_of
from unfog.builtin import open_run
from unfog.runs.machine import processor
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw


def share(heard: list[str], asked: list[str]) -> dict[str, Any]:
    """How often what was heard is what was asked for, with a 95 % interval by Wilson."""
    n, z = len(asked), 1.96
    p = sum(a == b for a, b in zip(heard, asked, strict=True)) / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return {"clips": n, "right": p, "low": low, "high": high}


def through_spectrograms(sounds: list[Tensor]) -> list[Tensor]:
    """Recordings as Griffin and Lim's method makes them of their own spectrograms."""
    scale = MelScale(RATE)
    return [
        griffin_lim(scale, scale.log_mel(x[:, 0]), x.shape[-1])[:, None].float() for x in sounds
    ]


def letters_of(
    run: Run, names: list[str], each: int, guidance: float | None, vocoder: Run | None
) -> tuple[Tensor, list[str]]:
    """Sounds (batch, 1, samples) drawn by a run, so many of each class, and the classes."""
    label = torch.arange(len(names)).repeat(each)
    seen = spectrograms_of(run.codec) if vocoder is not None else None
    drawing = run if seen is None else replace(run, codec=seen)
    told, ids = {LABEL: label}, range(len(label))
    x = draw(drawing, Plan.of(run), ids, condition=told, guidance=guidance)
    if seen is not None:
        x = inverted(seen.mel.mel, x, seen.mel.mel.hop * x.shape[-1], vocoder)
    return x.clamp(-1, 1), [names[k] for k in label]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--each", type=int, default=8, help="drawn of each letter")
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--vocoder", help="a run; Griffin and Lim's method by default")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run, judge = open_run(options.run).in_precision("auto"), Judge()
    vocoder = open_run(options.vocoder).in_precision("auto") if options.vocoder else None
    speakers = run.config["data"].get("speakers")
    names = list(run.config["conditions"][LABEL]["names"])
    if not speakers or not set(names) <= set(LETTERS):
        raise SystemExit("Train the run on letters of English: --set 'data.speakers=[en, en_GB]'.")
    sounds, said = spoken(list(speakers))
    drawn, asked = letters_of(run, names, options.each, options.guidance, vocoder)
    heard = judge.heard(drawn)
    order = torch.randperm(len(asked), generator=torch.Generator().manual_seed(0)).tolist()
    recorded = [judge.heard(x)[0] for x in sounds]
    figures = {
        "processor": processor(),
        "run": {"system": run.config["system"], "steps": run.config["training"]["steps"]},
        "guidance": options.guidance,
        "speakers": list(speakers),
        "chance": 1 / len(LETTERS),
        "recordings": share(recorded, said),
        "recordings through spectrograms": share(
            [judge.heard(x)[0] for x in through_spectrograms(sounds)], said
        ),
        "drawn": share(heard, asked),
        "drawn, classes shuffled": share(heard, [asked[k] for k in order]),
    }
    write_record(figures, (unfog, torch), options.out, pocketsphinx=version("pocketsphinx"))


if __name__ == "__main__":
    main()
