"""Training and drawing molecules beside a plain padded PyTorch EGNN of the reference architecture.

    python benchmarks/molecules_speed.py --out JSON

Both have the published sizes (9 layers of 256, or --width, --layers), the same batches of QM9's
molecules and float32; the reference computes every pair of padded atoms by gathering both atoms'
features (as the published code does), ours takes molecules of one size together and applies the
first layer of a pair's perceptron to atoms. CPU seconds of a training step (forward, backward, no
optimiser) and of a call, medians of interleaved runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from record import write_record
from torch import Tensor, nn

import unfog
from unfog.molecules.egnn import EGNN
from unfog.molecules.qm9 import QM9
from unfog.runs.machine import processor


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.SiLU()]
    return nn.Sequential(*layers)


class ReferenceLayer(nn.Module):
    """One layer on padded molecules, every pair of padded atoms an edge."""

    def __init__(self, width: int, reach: float) -> None:
        super().__init__()
        self.edges, self.attention = mlp(2 * width + 2, width, width), nn.Linear(width, 1)
        self.nodes = nn.Sequential(*mlp(2 * width, width), nn.Linear(width, width))
        self.lines, self.step = mlp(2 * width + 2, width, width), nn.Linear(width, 1, bias=False)
        self.reach = reach

    def forward(self, h: Tensor, x: Tensor, rows: Tensor, columns: Tensor, there: Tensor, d0: Any):
        between = x[rows] - x[columns]
        squared = between.square().sum(1, keepdim=True)
        d = torch.cat([squared, d0], 1)
        m = self.edges(torch.cat([h[rows], h[columns], d], 1))
        m = m * torch.sigmoid(self.attention(m)) * there
        h = h + self.nodes(torch.cat([h, torch.zeros_like(h).index_add(0, rows, m)], 1))
        size = torch.tanh(self.step(self.lines(torch.cat([h[rows], h[columns], d], 1))))
        moved = between / ((squared + 1e-8).sqrt() + 1) * (self.reach * size) * there
        return h, x + torch.zeros_like(x).index_add(0, rows, moved)


class Reference(nn.Module):
    """The plain padded network: (batch, 9, atoms) to the same."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(7, width), nn.Linear(width, 7)
        self.layers = nn.ModuleList(ReferenceLayer(width, 15 / layers) for _ in range(layers))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        batch, _, atoms = x.shape
        mask = (x != 0).any(1)
        flat = x.movedim(1, 2).reshape(batch * atoms, -1)
        first = torch.arange(atoms).repeat_interleave(atoms)
        second = torch.arange(atoms).repeat(atoms)
        offset = (torch.arange(batch) * atoms)[:, None]
        rows, columns = (offset + first).flatten(), (offset + second).flatten()
        there = (mask.flatten()[rows] & mask.flatten()[columns] & (rows != columns))[
            :, None
        ].float()
        place, given = flat[:, :3], flat[:, 3:]
        h = self.enter(torch.cat([given, label.repeat_interleave(atoms)[:, None]], 1))
        d0, now = (place[rows] - place[columns]).square().sum(1, keepdim=True), place
        for layer in self.layers:
            h, now = layer(h, now, rows, columns, there, d0)
        out = torch.cat([now - place, self.leave(h)[:, :-1]], 1) * mask.flatten()[:, None]
        return out.view(batch, atoms, -1).movedim(2, 1)


def cost(network: nn.Module, x: Tensor, label: Tensor, learn: bool) -> float:
    begun = time.process_time()
    with torch.set_grad_enabled(learn):
        out = network(x, label)
        if learn:
            out.square().mean().backward()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=9)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = QM9("test")
    sizes = {"width": options.width, "layers": options.layers}
    contestants = {"unfog": EGNN(9, 9, **sizes), "reference": Reference(**sizes)}
    # The same weights give the same answer.
    seconds: dict[str, dict[str, list[float]]] = {
        name: {"training": [], "drawing": []} for name in contestants
    }
    for turn in range(options.times + 1):
        ids = range(turn * options.batch, (turn + 1) * options.batch)
        x, label = data.batch(ids)["x"], torch.rand(options.batch)
        x = x[:, :, : int(data.sizes[list(ids)].max())]
        for name, network in contestants.items():
            for kind, learn in (("training", True), ("drawing", False)):
                taken = cost(network, x, label, learn)
                if turn:  # the first warms up
                    seconds[name][kind].append(taken)
    median = {
        name: {kind: statistics.median(values) for kind, values in kinds.items()}
        for name, kinds in seconds.items()
    }
    figures = {
        "processor": processor(),
        "sizes": sizes,
        "batch": options.batch,
        "n": options.times,
        "parameters": {n: sum(p.numel() for p in c.parameters()) for n, c in contestants.items()},
        "cpu_seconds": median,
        "times_faster": {
            kind: median["reference"][kind] / median["unfog"][kind]
            for kind in ("training", "drawing")
        },
    }
    write_record(figures, (unfog, torch), options.out)


if __name__ == "__main__":
    main()
