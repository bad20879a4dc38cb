"""What labelled pictures are for: a small network learns them and is scored on real ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unfog.core.random import seed_of
from unfog.evaluation.learned_features import SmallNetwork

AT_ONCE = 250  # pictures that are scored at a time
Batch = Callable[[int], tuple[Tensor, Tensor]]  # step -> pictures and their targets


@dataclass(frozen=True)
class Downstream(ABC):
    """A task on pictures (n, channels, rows, columns) in [0, 1].

    Args:
        classes: The classes that it tells apart.
    """

    classes: int
    score_name = ""
    batch = 64
    rate = 1e-3

    @abstractmethod
    def network(self, channels: int) -> nn.Module:
        """A new network for pictures of so many channels."""

    @abstractmethod
    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""

    @abstractmethod
    def score(self, out: Tensor, target: Tensor) -> Tensor:
        """The score of each picture (n,), 1 at best."""


class Classification(Downstream):
    """Tells a picture's class, targets (n,): by how often it is right."""

    score_name = "accuracy"

    def network(self, channels: int) -> nn.Module:
        return SmallNetwork(channels, self.classes)

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(out, target.long())

    def score(self, out: Tensor, target: Tensor) -> Tensor:
        return (out.argmax(1) == target.long()).double()


class Segmentation(Downstream):
    """Finds the classes of pixels, targets (n, 1, rows, columns): by the mean Dice (1945) of the
    classes but the first, the background.
    """

    score_name, batch, rate = "mean Dice", 8, 3e-3

    def network(self, channels: int) -> nn.Module:
        return SegmentationUNet(channels, self.classes)

    def loss(self, out: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(out, target[:, 0].long())

    def score(self, out: Tensor, target: Tensor) -> Tensor:
        found, asked = out.argmax(1), target[:, 0]
        return torch.stack([dice(found, asked, k) for k in range(1, self.classes)]).mean(0)


TASKS: dict[str, type[Downstream]] = {
    "class": Classification,
    "named-class": Classification,
    "mask": Segmentation,
}  # by the name of the condition that is the target


def task_of(condition: Mapping[str, Any]) -> Downstream:
    """The task whose target is a condition of that config, one of ``TASKS``."""
    return TASKS[condition["name"]](condition.get("classes") or condition["count"])


class SegmentationUNet(nn.Module):
    """A U-Net of three levels (Ronneberger et al. 2015), x (n, channels, rows, columns) to scores
    (n, classes, rows, columns); any number of rows and columns.

    Args:
        channels: Of a picture.
        classes: Of pixels.
        width: Channels of the first level.
    """

    def __init__(self, channels: int, classes: int, width: int = 12) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width]
        self.down = nn.ModuleList(map(_block, [channels, *sizes[:2]], sizes))
        self.up = nn.ModuleList(map(_block, [6 * width, 3 * width], sizes[1::-1]))
        self.leave = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for block in self.down:
            x = block(F.max_pool2d(x, 2) if kept else x)
            kept.append(x)
        for block, skip in zip(self.up, kept[1::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, skip.shape[2:]), skip], 1))
        found: Tensor = self.leave(x)
        return found


def _block(inside: int, out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inside, out):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.GroupNorm(4, out), nn.ReLU()]
    return nn.Sequential(*layers)


def dice(found: Tensor, asked: Tensor, k: int) -> Tensor:
    """Dice of class k in each picture (n,) of labels (n, rows, columns); 1 where neither has it."""
    a, b = (found == k).flatten(1), (asked == k).flatten(1)
    either = a.sum(1) + b.sum(1)
    return torch.where(either == 0, 1.0, 2 * (a & b).sum(1) / either.clamp(min=1)).double()


def learn(task: Downstream, channels: int, batch: Batch, steps: int, seed: int) -> nn.Module:
    """Train a task's network: AdamW, one cycle of the rate.

    Args:
        task: The task.
        channels: Of a picture.
        batch: Gives the pictures and targets of each step.
        steps: Of training.
        seed: Of the weights.

    Returns:
        The network, frozen.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "downstream"))
        network = task.network(channels)
    optimizer = torch.optim.AdamW(network.parameters(), lr=task.rate, weight_decay=1e-2)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, task.rate, total_steps=steps)
    for step in range(steps):
        x, target = batch(step)
        loss = task.loss(network(x), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        cycle.step()
    return network.eval().requires_grad_(False)


def scored(task: Downstream, network: nn.Module, x: Tensor, target: Tensor) -> float:
    """The mean score of a network on pictures (n, channels, rows, columns) with their targets."""
    parts = zip(torch.split(x, AT_ONCE), torch.split(target, AT_ONCE), strict=True)
    return float(torch.cat([task.score(network(part), asked) for part, asked in parts]).mean())
