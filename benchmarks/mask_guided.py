"""Whether slices drawn for a mask show it: t1-from-tissue on masks of held-out slabs.

    python benchmarks/mask_guided.py --out benchmarks/results/mask_guided.json \
        --figure docs/mask-guided.png
    python benchmarks/mask_guided.py --study --out benchmarks/results/mask_guided_study.json

An independent judge, a small U-Net that was trained on real slices alone, looks for each tissue in
slices drawn for the masks of the slabs held out of all training, and in the real slices of those
slabs. A second judge is a T1 segmenter of other people's scans, MeshNet (brainchop, MIT), where its
folder is given by --meshnet or UNFOG_SHARED_DATA: a slice is shown to it as a head that is the same
at every height, for which its kernels, summed over the height, are two-dimensional.

--study trains the judge's network on 8 real slices with and without 200 drawn ones, five seeds. The
masks of these are deformed masks of the 8 slices, so no label is new.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write_record
from segmenters import (
    CLASSES,
    DEFORMED,
    NAMES,
    Segment,
    by_class,
    dice,
    mean_dice,
    meshnet,
    train_segmenter,
)
from torch import Tensor
from torch.nn import functional as F

import unfog
import unfog.builtin
from unfog.core.conditions import class_maps
from unfog.core.random import generators
from unfog.data.dataset import open_dataset
from unfog.runs.run import Run

T_95 = 2.776  # Student's t of 4 degrees of freedom, two-sided


def held_out(split: str) -> tuple[Tensor, Tensor]:
    """Real slices and labels of a split, its axial slices alone."""
    data = open_dataset({"name": "mni-tissue", "split": split, "oblique": 0})
    batch = data.batch(range(len(data)))
    return batch["x"], batch["tissue"]


def beyond_noise(one: Tensor, two: Tensor) -> dict[str, float]:
    """How two draws differ: the difference of white noise would lose the smoothing's factor, that
    of anatomy keeps its size.
    """
    gap = one - two
    offsets = torch.arange(-6, 7, dtype=torch.float32)
    bell = torch.exp(-(offsets**2) / (2 * 2.0**2))
    bell = bell / bell.sum()
    smooth = F.conv2d(F.conv2d(gap, bell.view(1, 1, -1, 1)), bell.view(1, 1, 1, -1))
    white = float((bell[:, None] * bell[None]).square().sum().sqrt())
    rms, kept = float(gap.square().mean().sqrt()), float(smooth.square().mean().sqrt())
    return {
        "rms": round(rms, 4),
        "rms_smoothed": round(kept, 4),
        "of_white_noise": round(rms * white, 4),
        "ratio": round(kept / (rms * white), 2),
    }


def drawn(run: Run, labels: Tensor, only: Sequence[int] | None = None, **options: Any) -> Tensor:
    """One slice for each mask, in [0, 1]; ``only`` names the classes that are asked for."""
    asked = torch.tensor([only is None or k in only for k in range(CLASSES)])
    condition = {"tissue": labels, "tissue_mask": asked.expand(len(labels), -1)}
    return run.sample(len(labels), condition=condition, **options).clamp(0, 1)


def follow(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Whether the drawn slices follow their masks."""
    x_train, labels_train = held_out("train")
    slabs = [held_out(split) for split in ("test", "validation")]
    x, labels = (torch.cat([slab[k] for slab in slabs]) for k in (0, 1))
    asked = labels[:, 0]
    judges = {"unet": train_segmenter(x_train, labels_train, 0, options.steps, _even(x_train))}
    figures: dict[str, Any] = {"masks": len(x)}
    few = slice(20, 80, 12)
    mesh = meshnet(options.meshnet, x_train[few], labels_train[few])
    if mesh is not None:
        judges["meshnet"], figures["meshnet_held"] = mesh
    # Each slab is asked for the masks of the other, as the measure of no guidance at all.
    other = torch.arange(len(x)).roll(len(slabs[1][0]))
    images = {
        "real": x,
        "guidance 1": drawn(run, labels, seed=0),
        "guidance 2": drawn(run, labels, seed=0, guidance=2.0),
        "other seed": drawn(run, labels, seed=1, guidance=2.0),
        "masks of other slices": drawn(run, labels[other], seed=0, guidance=2.0),
        "no mask": drawn(run, labels, [], seed=0),
    }
    alone = {name: drawn(run, labels, [k], seed=0, guidance=2.0) for k, name in enumerate(NAMES)}
    for judge, segment in judges.items():
        table = {name: by_class(segment, image, asked) for name, image in images.items()}
        table["each alone"] = {name: by_class(segment, alone[name], asked)[name] for name in NAMES}
        table["share of real"] = {
            f"{row}, {name}": round(table[row][name] / table["real"][name], 3)
            for row in ("guidance 1", "guidance 2", "each alone", "masks of other slices")
            for name in NAMES
        }
        figures[judge] = table
    figures["real masks of other slices"] = {
        name: round(float(dice(asked[other], asked, k).mean()), 4) for k, name in enumerate(NAMES)
    }
    figures["two draws"] = beyond_noise(images["guidance 2"], images["other seed"])
    if options.figure is not None:
        _draw_figure(options.figure, images, alone, labels, judges["unet"])
    return figures


def study(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """A segmenter of 8 real slices, with and without drawn ones."""
    x, labels = held_out("train")
    slabs = [held_out(split) for split in ("test", "validation")]
    x_test, asked = torch.cat([s[0] for s in slabs]), torch.cat([s[1] for s in slabs])[:, 0]
    results = []
    for seed in range(5):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        eight, real = labels[order[:8]], x[order[:8]]
        # New masks: deformed ones of the 8.
        many = class_maps(eight, CLASSES).repeat(options.pairs // 8, 1, 1, 1)
        masks = DEFORMED.warp(many, generators(seed, range(len(many)))).argmax(1, keepdim=True)
        pairs = drawn(run, masks.float(), seed=seed, sampler="unipc", steps=8)
        # Half of each batch is real.
        weights = torch.cat([_even(real) * len(pairs) / 8, _even(pairs)])
        both = torch.cat([real, pairs]), torch.cat([eight, masks.float()])
        scores = [
            mean_dice(train_segmenter(*data, seed, options.steps, w)(x_test), asked)
            for *data, w in ((real, eight, _even(real)), (*both, weights))
        ]
        print(f"seed {seed}: 8 real {scores[0]:.4f}, with drawn pairs {scores[1]:.4f}", flush=True)  # noqa: T201
        results.append(scores)
    table = np.array(results)
    gain = table[:, 1] - table[:, 0]
    return {
        "drawn pairs": len(pairs),
        "dice of grey and white, 8 real": _interval(table[:, 0]),
        "dice of grey and white, 8 real and drawn": _interval(table[:, 1]),
        "gain": _interval(gain),
        "by seed": table.round(4).tolist(),
    }


def _even(x: Tensor) -> Tensor:
    return torch.ones(len(x))


def _interval(values: Any) -> dict[str, Any]:
    """Mean and 95 % interval of five numbers, by Student's t."""
    half = T_95 * float(values.std(ddof=1)) / len(values) ** 0.5
    mean = float(values.mean())
    return {"mean": round(mean, 4), "interval": [round(mean - half, 4), round(mean + half, 4)]}


def _draw_figure(
    path: Path, images: dict[str, Tensor], alone: dict[str, Tensor], labels: Tensor, judge: Segment
) -> None:
    """Masks, draws and what the judge found, for four of the held-out masks."""
    import matplotlib.pyplot as plt

    chosen = [0, 5, 9, 13]
    found = judge(images["guidance 2"])[:, None].float() / 2
    rows = {
        "held-out slice": images["real"],
        "its mask": labels / 2,
        "drawn for the mask": images["guidance 2"],
        "found by the judge": found,
        "another draw": images["other seed"],
        "white matter alone asked": alone["white matter"],
        "no mask": images["no mask"],
    }
    figure, axes = plt.subplots(len(chosen), len(rows), figsize=(11.2, 7.8))
    for column, (name, stack) in enumerate(rows.items()):
        for row, number in enumerate(chosen):
            axes[row, column].imshow(stack[number, 0], cmap="gray", vmin=0, vmax=1)
            axes[row, column].axis("off")
        axes[0, column].set_title(name, fontsize=8)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="t1-from-tissue")
    parser.add_argument("--study", action="store_true")
    parser.add_argument("--steps", type=int, default=300, help="of a segmenter's training")
    parser.add_argument("--pairs", type=int, default=200)
    shared = Path(os.environ.get("UNFOG_SHARED_DATA", "../shared/data"))
    parser.add_argument("--meshnet", type=Path, default=shared / "meshnet")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run = Run.open(options.run).in_precision("auto")
    figures = {
        "data": "mni-tissue, test slab (10 slices) and validation slab (8), one average brain",
        "sampler": run.config["sampling"],
        "segmenter_steps": options.steps,
        "results": (study if options.study else follow)(run, options),
    }
    write_record(figures, (torch, np), options.out, unfog=unfog.__version__)


if __name__ == "__main__":
    main()
