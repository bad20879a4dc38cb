"""Text to image on emoji: whether pictures show their captions, by a judge that is trained apart.

    python benchmarks/text_to_image.py RUN --out JSON --grid PNG

RUN is of `unfog train text-to-image --data emoji`, or a shipped prior's name. It has seen the split
`train` alone; a picture is drawn for each of the 595 captions of the split `test`, whose 328 names
no training picture has. The judge is trained on the pictures of `test`, which RUN has not seen:
regularised canonical correlations between features of EfficientNet-Lite0 and the vectors of MiniLM,
on the pictures as they are and four times shifted, blurred and with noise. A picture is retrieved
where its own caption is the nearest of all 595; some figures are of every second picture. What the
judge itself can do is told beside: on degraded copies that it was not trained on, and on pictures
of `train` with captions new to it.
"""

from __future__ import annotations

import argparse
import colorsys
import time
from pathlib import Path
from typing import Any

import torch
from record import write_record
from torch import Tensor
from torch.nn.functional import conv2d, pad

import unfog
from unfog.builtin import open_run
from unfog.data.builtin.emoji import Emoji
from unfog.evaluation.features import feature_network, image_features
from unfog.evaluation.retrieval import CanonicalCorrelations, retrieval
from unfog.files.output import write_image
from unfog.report import mosaic
from unfog.report.pictures import shown
from unfog.runs.machine import processor
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.run import Run
from unfog.runs.text_states import NAME
from unfog.text import readers

COPIES, BATCH = 4, 64
SCALES = {0.0: 2, 1.0: 1, 3.0: 1, 5.0: 2}  # of guidance, and of every so many-th caption
PROMPTS, DRAWS = 12, 8  # of which diversity is measured
SEEN = (  # captions of training
    "red heart",
    "blue heart",
    "tulip",
    "green apple",
    "tiger face",
    "carrot",
    "sailboat",
    "purple square",
    "locomotive",
    "cat with tears of joy",
    "old man",
    "broken heart",
)
UNSEEN = (  # never captions of training; the first 8 are of `test`
    "orange circle",
    "red square",
    "flag of Italy",
    "flag of Ukraine",
    "watermelon",
    "wolf",
    "man construction worker",
    "rabbit",
    "a green car",
    "purple circle",
    "orange cat",
    "yellow flower",
)


def degraded(x: Tensor, seed: int) -> Tensor:
    """Pictures (n, 3, H, W) in [0, 1], shifted, blurred and with noise, as a generator's may be."""
    draw = torch.Generator().manual_seed(seed)
    shifts = torch.randint(-4, 5, (len(x), 2), generator=draw).tolist()
    x = torch.stack([torch.roll(p, s, (1, 2)) for p, s in zip(x, shifts, strict=True)])
    width = 0.3 + 1.5 * float(torch.rand(1, generator=draw))
    line = torch.exp(-0.5 * (torch.arange(-4, 5) / width) ** 2)
    line = line / line.sum()
    kernel = (line[:, None] * line)[None, None]
    padded = pad(x, (4, 4, 4, 4), mode="replicate")
    x = conv2d(padded.flatten(0, 1)[:, None], kernel).view(x.shape)
    return (x + 0.04 * torch.randn(x.shape, generator=draw)).clamp(0, 1)


def pooled(captions: tuple[str, ...]) -> Tensor:
    """MiniLM's vector of each caption, (n, 384)."""
    reader = readers.build({"name": "minilm"})
    rows = [
        row[0]
        for start in range(0, len(captions), BATCH)
        for row in reader.rows(captions[start : start + BATCH])
    ]
    return torch.stack(rows)


class Judge:
    """Trained on the pictures and captions of the split `test`."""

    def __init__(self, size: int) -> None:
        self.network = feature_network()
        test = Emoji("test", size)
        self.captions = test.captions
        self.x = test.batch(range(len(test)))["x"] / 255
        seen = [self.x, *(degraded(self.x, seed) for seed in range(COPIES))]
        features = torch.cat([self.features(x) for x in seen])
        vectors = pooled(test.captions)
        self.analysis = CanonicalCorrelations.fit(features, vectors.repeat(len(seen), 1))
        self.texts = self.analysis.second(vectors)

    def features(self, x: Tensor) -> Tensor:
        return image_features(x.clamp(0, 1).float(), self.network)

    def told(self, x: Tensor, texts: Tensor | None = None, every: int = 1) -> dict[str, Any]:
        """How many pictures' captions are found among all, of every so many-th caption."""
        pictures = self.analysis.first(self.features(x))
        texts = self.texts if texts is None else texts
        # The pictures' own texts first, then all others.
        own = torch.zeros(len(texts), dtype=torch.bool)
        own[::every] = True
        ordered = torch.cat([texts[own], texts[~own]])
        first, five = (retrieval(pictures, ordered, k) for k in (1, 5))
        return {"n": len(x), "top 1": first, "over chance": first * len(texts), "top 5": five}

    def own_figures(self) -> dict[str, Any]:
        train = Emoji("train", self.x.shape[-1])
        draw = torch.Generator().manual_seed(0)
        ids = torch.randperm(len(train), generator=draw)[: len(self.x)].tolist()
        texts = self.analysis.second(pooled(tuple(train.captions[k] for k in ids)))
        return {
            "degraded copies": self.told(degraded(self.x, 99)),
            "captions new to it": self.told(train.batch(ids)["x"] / 255, texts),
        }


def drawn(run: Run, prompts: list[str], guidance: float, hidden: Any = None, seed: int = 0) -> Any:
    """A picture a prompt in [0, 1], (n, 3, H, W); ``hidden`` rows of the text are not shown."""
    condition = text_condition(run, [Prompt.plain(prompt) for prompt in prompts])
    if hidden is not None:
        condition[f"{NAME}_mask"][:, hidden] = False
    x = run.sample(len(prompts), seed=seed, condition=condition, guidance=guidance, batch=BATCH)
    return (x / 255).clamp(0, 1)


def diversity(judge: Judge, run: Run, guidance: float) -> float:
    """The mean distance of features between pictures of one prompt, over that between prompts of
    real ones.
    """
    prompts = [*SEEN[: PROMPTS // 2], *UNSEEN[: PROMPTS // 2]]
    x = drawn(run, [p for p in prompts for _ in range(DRAWS)], guidance)
    f = judge.features(x).view(len(prompts), DRAWS, -1)
    real = judge.features(judge.x[:: len(judge.x) // 48])
    return float(
        (torch.cdist(f, f).sum() / (len(prompts) * DRAWS * (DRAWS - 1)))
        / (torch.cdist(real, real).sum() / (len(real) * (len(real) - 1)))
    )


def hue(x: Tensor) -> float:
    """The hue of the mean colour of what is coloured in pictures (n, 3, H, W), in degrees."""
    strength = x.amax(1) - x.amin(1)
    colour = (x * (strength * (strength > 0.3))[:, None]).sum((0, 2, 3))
    return 360 * colorsys.rgb_to_hsv(*(colour / colour.max()).tolist())[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--grid", type=Path, help="where 24 prompts are shown, half held out")
    options = parser.parse_args()
    begun = time.process_time()
    run = open_run(options.run)
    scale = float(run.config["sampling"]["guidance"])
    if options.grid is not None:
        x = drawn(run, [*SEEN, *UNSEEN], scale, seed=1)
        rows = [[shown(p) for p in part] for part in x.split(8)]
        write_image(options.grid, mosaic(rows))
    judge = Judge(run.shape[-1])
    captions = list(judge.captions)
    guided = {
        f"{w:g}": {
            **judge.told(drawn(run, captions[::every], w), every=every),
            "diversity": diversity(judge, run, w),
        }
        for w, every in SCALES.items()
    }
    some = captions[::2]
    shuffled = [some[k] for k in torch.randperm(len(some)).tolist()]
    parts = {
        "without the pooled vector": 0,
        "without the tokens": slice(1, None),
    }
    hearts = {c: hue(drawn(run, [f"{c} heart"] * 16, scale)) for c in ("red", "blue", "green")}
    results = {
        "judge": judge.own_figures(),
        "guidance": guided,
        "captions shuffled": judge.told(drawn(run, shuffled, scale), every=2),
        **{
            name: judge.told(drawn(run, some, scale, rows), every=2) for name, rows in parts.items()
        },
        "hue of hearts": hearts,
    }
    figures = {
        "run": run.name,
        "system": run.config["system"],
        "sampling": run.config["sampling"],
        "chance": 1 / len(captions),
        "processor": processor(),
        "cpu_seconds": round(time.process_time() - begun),
        "results": results,
    }
    write_record(figures, (unfog, torch), options.out)


if __name__ == "__main__":
    main()
