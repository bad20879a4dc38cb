"""Garments that are asked for: attributes, classes, redesigns, sketches, textures.

    python benchmarks/fashion.py RUN --count 200 --out JSON --figure PNG

Asked are the attributes and the classes of held-out garments (the split test of garments), each
once with all five attributes, of one draw and of the best of several, and once with one alone; a
shuffled order of the same wishes is the ablation. Classes are judged by a small network trained
here on the pictures and labels of the split train. Redesigns fill a box in held-out garments;
energies of differences at its border are compared with those of parallel lines within three pixels
of it, in redesigns and in the garments themselves. Edges agree where one lies at the
other's pixel, or within one of it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from record import write_record
from torch import Tensor, nn
from torch.nn import functional as F

import unfog
from unfog.builtin import open_run
from unfog.data.builtin.textures import photograph
from unfog.data.dataset import open_dataset
from unfog.fashion.attributes import ATTRIBUTES, attributes_of, figure_of
from unfog.fashion.sketch import sketch_of
from unfog.physics.swatch import SwatchStatistics
from unfog.runs.inpaint import inpaint
from unfog.runs.interpolate import interpolate
from unfog.runs.machine import processor
from unfog.runs.properties import nearest_draws
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.swatch import transfer

BOX = (slice(9, 19), slice(10, 18))  # rows and columns of a redesign
SEED = 1


def drawn(
    run: Run, plan: Plan, count: int, guidance: float | None, first: int = 0, **told: Tensor
) -> Tensor:
    """Draws for conditions, a sample each, in [0, 1]."""
    ids = range(first, first + count)
    x = draw(run, plan, ids, SEED, condition=told, guidance=guidance, batch=50)
    return (x / 255).clamp(0, 1)


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.double(), b.double()]))[0, 1])


def attributes(
    run: Run, plan: Plan, batch: dict[str, Tensor], guidance: float, best: int
) -> dict[str, dict[str, float]]:
    """Correlations of what was asked with what was measured: of one draw each, and of the nearest
    of several.
    """
    asked, count = batch["property"], len(batch["x"])
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    told = {"label": batch["label"]}
    several = torch.stack(
        [drawn(run, plan, count, guidance, k * count, property=asked, **told) for k in range(best)]
    )
    whole = attributes_of(several[0])
    chosen = attributes_of(nearest_draws(run, 255 * several, {"property": asked}) / 255)
    found: dict[str, dict[str, float]] = {}
    for k, name in enumerate(ATTRIBUTES):
        only = torch.zeros_like(asked, dtype=torch.bool)
        only[:, k] = True
        alone = attributes_of(
            drawn(run, plan, count, guidance, property=asked, property_mask=only, **told)
        )
        found[name] = {
            "all": correlation(asked[:, k], whole[:, k]),
            "best": correlation(asked[:, k], chosen[:, k]),
            "alone": correlation(asked[:, k], alone[:, k]),
            "shuffled": correlation(asked[order, k], whole[:, k]),
        }
    return found


def classifier(x: Tensor, labels: Tensor, steps: int) -> nn.Module:
    """A small convolutional network, trained on pictures in [0, 1]."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(128 * 9, 10))
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,), generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(net(x[rows]), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def agreement(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    return float((net(x).argmax(1) == labels).float().mean())


def seam(x: Tensor) -> float:
    """The energy of differences across the border of ``BOX`` over that of the parallel lines up to
    three pixels away on either side, within the box's own span.
    """
    rows, columns = BOX
    border, beside = [], []
    for axis, edges, span in ((2, rows, columns), (3, columns, rows)):
        steps = x.diff(dim=axis).square()
        steps = steps[..., span] if axis == 2 else steps[:, :, span]
        for edge in (edges.start - 1, edges.stop - 1):
            border.append(steps.select(axis, edge).mean())
            beside += [steps.select(axis, edge + k).mean() for k in (-3, -2, -1, 1, 2, 3)]
    return float(torch.stack(border).mean() / torch.stack(beside).mean())


def redesigns(run: Run, plan: Plan, batch: dict[str, Tensor]) -> tuple[dict[str, float], Tensor]:
    """What a redesign leaves and how its border looks; and the redesigns in [0, 1]."""
    x = batch["x"]
    hole = torch.zeros(len(x), 1, *x.shape[2:], dtype=torch.bool)
    hole[(slice(None), slice(None), *BOX)] = True
    new = inpaint(run, x, hole, plan, samples=1)[:, 0]
    return {
        "largest_change_outside": float((new - x).abs()[~hole].max()),
        "mean_change_inside": float((new - x).abs()[hole].mean() / 255),
        "seam_redesigned": seam(new / 255),
        "seam_of_the_garments": seam(x / 255),
        "seam_pasted": seam(torch.where(hole, x.roll(1, 0), x) / 255),
    }, new / 255


def edge_f1(lines: np.ndarray, wanted: np.ndarray, reach: int) -> float:
    """F1 of edges, mean over pictures, so many pixels of distance allowed."""

    def near(a: np.ndarray) -> np.ndarray:
        wide = F.max_pool2d(torch.from_numpy(a).float(), 2 * reach + 1, 1, reach)
        return wide.numpy() > 0

    axes = (1, 2, 3)
    precision = (lines & near(wanted)).sum(axes) / np.maximum(lines.sum(axes), 1)
    recall = (wanted & near(lines)).sum(axes) / np.maximum(wanted.sum(axes), 1)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-9)).mean())


def sketches(
    run: Run, plan: Plan, batch: dict[str, Tensor]
) -> tuple[dict[str, dict[str, float]], Tensor]:
    """How draws follow a sketch, against draws that are told nothing: to the pixel, and within
    one.
    """
    wanted, count = batch["sketch"].numpy() > 0, len(batch["x"])
    along = drawn(run, plan, count, None, sketch=batch["sketch"])
    free = drawn(run, plan, count, None)
    lines = {
        "sketched": sketch_of(along) > 0,
        "unconditioned": sketch_of(free) > 0,
        "another_garment": np.roll(wanted, 1, 0),
    }
    return {
        name: {kind: edge_f1(one, wanted, reach) for kind, reach in (("exact", 0), ("near", 1))}
        for name, one in lines.items()
    }, along


def textures(run: Run, plan: Plan, batch: dict[str, Tensor]) -> tuple[dict[str, float], Tensor]:
    """The distance of statistics to a swatch's before and after a transfer."""
    x = batch["x"]
    region, pictures, before, after = figure_of(x / 255), [], [], []
    for k in range(len(x)):
        grey = photograph(("brick", "grass", "gravel")[k % 3])[100:164, 100:164]
        swatch = torch.from_numpy(grey.astype(np.float32))[None, None]
        here = region[k : k + 1]
        new = transfer(
            run, run.denoiser, x[k : k + 1], swatch, plan, region=here, samples=1, seed=k
        )[:, 0]
        y = SwatchStatistics()(run.codec.encode(swatch))
        measure = SwatchStatistics(here)
        before.append(float((measure(run.codec.encode(x[k : k + 1])) - y).norm() / y.norm()))
        after.append(float((measure(run.codec.encode(new)) - y).norm() / y.norm()))
        pictures.append(new / 255)
    return {"before": float(np.mean(before)), "after": float(np.mean(after))}, torch.cat(pictures)


def interpolations(
    run: Run, batch: dict[str, Tensor], pairs: int
) -> tuple[dict[str, float], Tensor]:
    """How exactly the ends of an interpolation are the garments, and the rows of pictures."""
    rows, errors = [], []
    for k in range(pairs):
        first, last = (run.codec.encode(batch["x"][j : j + 1]) for j in (2 * k, 2 * k + 1))
        between = interpolate(run.denoiser, first, last, Plan.of(run, "ddim"), samples=8)
        path = (run.codec.decode(between[0]) / 255).clamp(0, 1)
        ends = torch.cat([batch["x"][2 * k : 2 * k + 2]]) / 255
        errors.append(float((path[[0, -1]] - ends).square().mean().sqrt()))
        rows.append(path)
    return {"error_of_the_ends": float(np.mean(errors))}, torch.cat(rows)


def figure(path: Path, rows: dict[str, Tensor]) -> None:
    """Rows of eight pictures each, in the order of the page that shows them."""
    x = torch.cat([part[:8] for part in rows.values()]).clamp(0, 1)
    pictures = (255 * x[:, 0]).round().byte().numpy()
    bands = [pictures[k : k + 8] for k in range(0, len(pictures), 8)]
    sheet = np.concatenate(
        [
            np.pad(np.concatenate(list(band), 1), ((0, 2), (0, 0)), constant_values=255)
            for band in bands
        ]
    )
    Image.fromarray(sheet).resize(
        (3 * sheet.shape[1], 3 * sheet.shape[0]), Image.Resampling.NEAREST
    ).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--guidance", type=float, default=1.5)
    parser.add_argument("--best", type=int, default=4, help="Draws of each, the nearest is kept.")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--teach", type=int, default=1200, help="Steps of the classifier.")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    begun, run = time.process_time(), open_run(options.run).in_precision("auto")
    plan = Plan.of(run, steps=options.steps)
    train, test = (open_dataset({"name": "garments", "split": s}) for s in ("train", "test"))
    batch = test.batch(range(options.count))
    few = {name: value[: options.count // 2] for name, value in batch.items()}
    eight = {name: value[:8] for name, value in batch.items()}
    obeyed = attributes(run, plan, batch, options.guidance, options.best)
    labels = torch.arange(options.count) % 10
    pictures = drawn(run, plan, options.count, options.guidance, label=labels)
    all_train = train.batch(range(len(train)))
    net = classifier(all_train["x"] / 255, all_train["label"], options.teach)
    held = test.batch(range(len(test)))
    redesigned, new = redesigns(run, plan, few)
    followed, along = sketches(run, plan, few)
    textured, cloth = textures(run, plan, {k: v[:12] for k, v in batch.items()})
    between, path = interpolations(run, eight, 2)
    figures = {
        "processor": processor(),
        "run": {"steps": run.config["training"]["steps"], "weights": run.weights_sha256[:16]},
        "count": options.count,
        "guidance": options.guidance,
        "best_of": options.best,
        "plan": dict(plan.names),
        "attributes": obeyed,
        "classifier": {
            "test_accuracy": agreement(net, held["x"] / 255, held["label"]),
            "agreement": agreement(net, pictures, labels),
            "shuffled": agreement(net, pictures, labels.roll(3)),
        },
        "redesign": redesigned,
        "sketch_f1": followed,
        "texture_distance": textured,
        "interpolation": between,
        "cpu_seconds": time.process_time() - begun,
    }
    write_record(figures, (unfog, torch), options.out)
    if options.figure is not None:
        rows = {
            "classes": pictures[:8],
            "garments": few["x"][:8] / 255,
            "redesigned": new[:8],
            "sketches": few["sketch"][:8],
            "along": along[:8],
            "textured": cloth[:8],
            "between": path[:8],
        }
        figure(options.figure, rows)


if __name__ == "__main__":
    main()
