"""Segmenters of T1 slices that judge what a prior drew: a small U-Net trained on real slices alone,
and MeshNet (brainchop, MIT), which was trained on other people's scans.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unfog.core.conditions import class_maps
from unfog.core.random import generators
from unfog.data.augment import Anatomy
from unfog.evaluation.downstream import SegmentationUNet, dice

CLASSES, NAMES = 3, ("rest", "grey matter", "white matter")
DEFORMED = Anatomy(rotation=6.0, scale=0.08, shift=3.0, elastic=1.5, gamma=0.15, knots=7)
Segment = Callable[[Tensor], Tensor]  # slices (n, 1, rows, columns) to labels (n, rows, columns)


def train_segmenter(x: Tensor, labels: Tensor, seed: int, steps: int, weights: Tensor) -> Segment:
    """A segmenter of slices (n, 1, ...) with labels (n, 1, ...), deformed in training; a slice is
    drawn with a probability in proportion to its weight.
    """
    torch.manual_seed(seed)
    network, draw = SegmentationUNet(1, CLASSES), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for step in range(steps):
        chosen = torch.multinomial(weights, 8, replacement=True, generator=draw)
        ids = range(8 * step, 8 * step + 8)
        moved = DEFORMED(x[chosen], generators(seed, ids))
        maps = DEFORMED.warp(class_maps(labels[chosen], CLASSES), generators(seed, ids))
        loss = F.cross_entropy(network(moved), maps.argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    return lambda slices: torch.no_grad()(network)(slices).argmax(1)


def meshnet(folder: Path, x: Tensor, labels: Tensor) -> tuple[Segment, str] | None:
    """MeshNet on slices, and how it was held. It was trained on heads in another orientation, which
    is found as the one of best Dice on real training slices ``x``.
    """
    if not (folder / "model.bin").is_file():
        return None
    described = json.loads((folder / "model.json").read_text())
    values, at, kernels = np.fromfile(folder / "model.bin", "<f4"), 0, []
    for entry in described["weightsManifest"][0]["weights"]:
        size = int(np.prod(entry["shape"]))
        kernels.append(torch.from_numpy(values[at : at + size].reshape(entry["shape"]).copy()))
        at += size
    convolutions = list(zip(kernels[::2], kernels[1::2], strict=True))
    held = [
        (axis, turn, mirror) for axis, turn, mirror in product(range(3), range(4), (False, True))
    ]
    score = {way: mean_dice(_mesh(convolutions, *way)(x), labels[:, 0]) for way in held}
    best = max(score, key=lambda way: score[way])
    return _mesh(convolutions, *best), "height axis {}, quarter turns {}, mirrored {}".format(*best)


def _mesh(
    convolutions: Sequence[tuple[Tensor, Tensor]], axis: int, turn: int, mirror: bool
) -> Segment:
    dilations = (1, 2, 4, 8, 16, 8, 4, 2, 1, 1)

    def segment(slices: Tensor) -> Tensor:
        rows, columns = slices.shape[2:]
        # Millimetres, the field of view and the range that it was trained on.
        h = F.interpolate(slices, scale_factor=2.0, mode="bilinear")
        flat = h.flatten(1)
        low, high = (flat.quantile(q, 1).view(-1, 1, 1, 1) for q in (0.02, 0.98))
        h = ((h - low) / (high - low)).clamp(0, 1)
        h = torch.rot90(h.flip(3) if mirror else h, turn, (2, 3))
        for number, (kernel, bias) in enumerate(convolutions):
            weight = kernel.sum(axis).permute(3, 2, 0, 1)
            reach = dilations[number] * (weight.shape[-1] // 2)
            h = F.conv2d(h, weight, bias, padding=reach, dilation=dilations[number])
            h = F.elu(h) if number + 1 < len(convolutions) else h
        h = torch.rot90(h, -turn, (2, 3))
        h = F.interpolate(h.flip(3) if mirror else h, (rows, columns), mode="area")
        return torch.tensor([0, 2, 1])[h.argmax(1)]  # it has white matter first

    return segment


def mean_dice(found: Tensor, asked: Tensor) -> float:
    """The mean Dice of grey and white matter."""
    return float(torch.stack([dice(found, asked, k) for k in (1, 2)]).mean())


def by_class(segment: Segment, x: Tensor, asked: Tensor) -> dict[str, float]:
    """The mean Dice of each class over slices."""
    found = segment(x)
    return {name: round(float(dice(found, asked, k).mean()), 4) for k, name in enumerate(NAMES)}
