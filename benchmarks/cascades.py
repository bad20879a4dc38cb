"""Cascades on emoji: what DALL-E 2's embedding keeps of a picture, what Imagen's upsamplers add.

    python benchmarks/cascades.py dalle2 CASCADE --out JSON --figure PNG
    python benchmarks/cascades.py imagen CASCADE --out JSON --figure PNG

CASCADE is a folder of `unfog train dalle2 | imagen --stage ...`. All pictures that are put in are
of the split `test`, which no stage has seen. Captions are found by the judge of text_to_image.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from record import write_record
from text_to_image import Judge
from torch import Tensor

import unfog
from unfog.core.low_resolution import enlarged, reduced
from unfog.data.builtin.emoji import Emoji
from unfog.evaluation.retrieval import retrieval
from unfog.evaluation.spectrum import radial_spectrum
from unfog.files.output import write_image
from unfog.report import mosaic
from unfog.report.pictures import shown
from unfog.runs.cascade import TrainedCascade, Wanted, draw_cascade
from unfog.runs.cascade_edit import between, decoder_of, embedding_of, fitted
from unfog.runs.embeddings import NAME, encoder_of
from unfog.runs.machine import AUTO, processor
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.text_states import NAME as TEXT
from unfog.runs.upsample import low_resolution_of, upsample

LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
PAIRS, POINTS = 12, 7
EVERY, STEPS = 3, 30  # every third held-out picture; steps of the decoder


def embeddings(cascade: TrainedCascade, x: Tensor) -> Tensor:
    """The embeddings of pictures (n, 3, H, W), (n, numbers)."""
    return torch.cat([embedding_of(cascade, picture[None]) for picture in x])


def dalle2(cascade: TrainedCascade) -> tuple[dict[str, Any], list[list[Any]]]:
    """What variations, interpolations and the prior keep; and a picture of them."""
    decoder, judge = decoder_of(cascade), Judge(64)
    small = TrainedCascade(
        cascade.cascade, {n: r for n, r in cascade.runs.items() if n in ("prior", "decoder")}
    )
    x, codec = 255 * judge.x, encoder_of(decoder.config)
    e = embeddings(small, x)
    # A variation of every third held-out picture.
    some = e[::EVERY]
    told, plan = {NAME: codec.standard(some)}, Plan.of(decoder, steps=STEPS)
    varied = draw(decoder, plan, range(len(some)), 0, condition=told, batch=64)
    # Pictures by text, through the prior.
    every = [Prompt.plain(caption) for caption in judge.captions]
    prompts, kept = every[::EVERY], dict[str, Tensor]()
    wanted = Wanted(prompts, len(prompts), steps=STEPS)
    worded = draw_cascade(small, wanted, keep=kept.__setitem__)
    texts = text_condition(small.runs["prior"], every)
    vectors = codec.text(texts[TEXT], texts[f"{TEXT}_mask"])
    # Interpolations, and how like each picture on the way is to both ends.
    courses, rows = [], []
    ids = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))[: 2 * PAIRS]
    for a, b in ids.view(-1, 2).tolist():
        path = between(small, x[a : a + 1], x[b : b + 1], Wanted((), POINTS, steps=STEPS))
        rows.append(path)
        courses.append(embeddings(small, path) @ e[[a, b]].T)
    course = torch.stack(courses)
    toward = course[..., 1] - course[..., 0]
    figures = {
        "encoder": {f"top {k}": retrieval(e, vectors, k) for k in (1, 5)},
        "prior": {
            "likeness to the text": float((kept["prior"] * vectors[::EVERY]).sum(1).mean()),
            "likeness of the real picture": float((e * vectors).sum(1).mean()),
            "top 1 among real pictures": retrieval(kept["prior"], some),
        },
        "by text": judge.told(worded / 255, every=EVERY),
        "variations": judge.told(varied / 255, every=EVERY),
        "variations shuffled": judge.told(varied.roll(1, 0) / 255, every=EVERY),
        "interpolation": {
            "n": PAIRS,
            "likeness to the first end": course[..., 0].mean(0).tolist(),
            "likeness to the second end": course[..., 1].mean(0).tolist(),
            "steps towards the second end": float((toward.diff(dim=1) > 0).double().mean()),
        },
    }
    shown_ids = range(0, 8 * 20, 20)
    tiles = [
        [shown(x[EVERY * k] / 255) for k in shown_ids],
        *(
            [shown(fitted(part[k : k + 1], (64, 64))[0] / 255) for k in shown_ids]
            for part in (varied, worded)
        ),
        *([shown(fitted(p[None], (64, 64))[0] / 255) for p in row] for row in rows[:4]),
    ]
    return figures, tiles


def high_power(x: Tensor, factor: int) -> Tensor:
    """The power of each picture beyond what a grid ``factor`` times coarser holds, (n,)."""
    spectrum = radial_spectrum(x)
    return spectrum[:, spectrum.shape[1] // factor :].sum(1)


def upsampler(run: Run, count: int) -> tuple[dict[str, Any], list[Tensor]]:
    """What an upsampler does with held-out pictures reduced to its input."""
    _, part = low_resolution_of(run)
    side = run.shape[1] if not run.config["data"].get("crop") else run.config["data"]["size"]
    data = Emoji("test", side)
    ids = torch.linspace(0, len(data) - 1, count).round().long().tolist()
    x = data.batch(ids)["x"]
    low, plan = reduced(x, part.factor), Plan.of(run)
    prompts = [Prompt.plain(data.captions[k]) for k in ids]
    told = dict(text_condition(run, prompts)) if TEXT in run.config else {}
    options: dict[str, Any] = {"condition": told, "batch": 16}

    def enlarge(picture: Tensor, level: float) -> Tensor:
        return upsample(run, picture, plan, level=level, **options)

    other, sensitivity, y = low.roll(1, 0), {}, None
    levels = [level for level in LEVELS if level <= part.level] + [part.level]
    for level in sorted(set(levels)):
        one, two = enlarge(low, level), enlarge(other, level)
        y = one if y is None else y
        moved = reduced(one - two, part.factor).square().mean().sqrt()
        sensitivity[f"{level:g}"] = float(moved / (low - other).square().mean().sqrt())
    assert y is not None
    bilinear = enlarged(low, x.shape[2:])
    ratio = {
        name: float(high_power(z, part.factor).sum() / high_power(x, part.factor).sum())
        for name, z in (("upsampler", y), ("bilinear", bilinear))
    }
    back = reduced(y, part.factor) - low
    figures = {
        "n": count,
        "sensitivity by level": sensitivity,
        "high-frequency power over real": ratio,
        "averaged down, error over the range": float(back.square().mean().sqrt() / 255),
        "averaged down, mean absolute": float(back.abs().mean() / 255),
    }
    return figures, [enlarged(low, x.shape[2:]), y, x]


def imagen(cascade: TrainedCascade) -> tuple[dict[str, Any], list[list[Any]]]:
    """What each upsampler does; and a picture: enlarged, upsampled, real."""
    figures, tiles = {}, []
    for name, count in (("upsampler-1", 48), ("upsampler-2", 8)):
        figures[name], parts = upsampler(cascade.runs[name], count)
        tiles += [[shown(fitted(p[None], (128, 128))[0] / 255) for p in z[:8]] for z in parts]
    judge = Judge(64)
    prompts = [Prompt.plain(caption) for caption in judge.captions[::EVERY]]
    two = TrainedCascade(
        cascade.cascade, {n: r for n, r in cascade.runs.items() if n != "upsampler-2"}
    )
    worded = draw_cascade(two, Wanted(prompts, len(prompts)))
    figures["by text, to 64 x 64"] = judge.told(worded / 255, every=EVERY)
    chosen = range(0, 8 * 20, 20)
    tiles.append([shown(fitted(worded[k : k + 1], (128, 128))[0] / 255) for k in chosen])
    return figures, tiles


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("dalle2", "imagen"))
    parser.add_argument("cascade")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    cascade = TrainedCascade.open(options.cascade).in_precision(AUTO)
    results, tiles = (dalle2 if options.kind == "dalle2" else imagen)(cascade)
    if options.figure is not None:
        write_image(options.figure, mosaic(tiles))
    steps = {name: run.config["training"]["steps"] for name, run in cascade.runs.items()}
    figures = {"processor": processor(), "training steps": steps, "results": results}
    write_record(figures, (unfog, torch), options.out)


if __name__ == "__main__":
    main()
