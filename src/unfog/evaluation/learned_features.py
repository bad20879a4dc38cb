r"""Features of a small network that is trained on the data themselves."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unfog.core.random import generator, seed_of
from unfog.errors import InputError

WIDTHS, GROUPS = (32, 64, 128), 8
STEPS, BATCH, RATE = 400, 64, 1e-3
TURNS = 4  # quarter turns, told apart where there are no classes


class SmallNetwork(nn.Module):
    """Strided convolutions, whose last map's mean are the features (128), and a linear head.

    Args:
        channels: Of a picture.
        classes: What the head tells apart.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((channels, *WIDTHS), WIDTHS, strict=False):
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1),
                nn.GroupNorm(GROUPS, after),
                nn.SiLU(),
            ]
        self.body = nn.Sequential(*layers, nn.Conv2d(WIDTHS[-1], WIDTHS[-1], 3, padding=1))
        self.head = nn.Linear(WIDTHS[-1], classes)

    def features(self, x: Tensor) -> Tensor:
        """Features (batch, 128) of pictures (batch, channels, height, width) in [0, 1]."""
        pooled: Tensor = self.body(2 * x - 1).mean((2, 3))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes)."""
        logits: Tensor = self.head(nn.functional.silu(self.features(x)))
        return logits


def learned_network(
    x: Tensor, labels: Tensor | None = None, seed: int = 0, steps: int = STEPS
) -> SmallNetwork:
    """A network that is trained to tell the data's classes apart or, where they have none, which
    quarter turn a square picture was given (Gidaris et al. 2018).

    A few seconds on one core; a function of its arguments alone, with one number of threads.

    Args:
        x: (n, channels, height, width), in [0, 1].
        labels: Class numbers (n,), or None.
        seed: Of weights and batches.
        steps: Of training.

    Returns:
        The network, frozen.

    Raises:
        InputError: The samples are no pictures, or have neither classes nor one side.
    """
    if x.ndim != 4 or min(x.shape[2:]) < 8:
        raise InputError(
            "Features that are learned on the data are of pictures of 8 pixels a side or more, "
            f"not of samples {tuple(x.shape[1:])}; take the features 'pixels'."
        )
    if labels is None and x.shape[2] != x.shape[3]:
        raise InputError(
            "Features are learned by turning square pictures, where there are no classes, and "
            f"these are {tuple(x.shape[2:])}; take the features 'pixels' or 'imagenet'."
        )
    classes = TURNS if labels is None else int(labels.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "features"))
        network = SmallNetwork(x.shape[1], classes)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    randomness = generator(seed, "features order")
    for step in range(steps):
        rows = torch.randint(len(x), (BATCH,), generator=randomness)
        picture, target = _task(x[rows], None if labels is None else labels[rows], randomness)
        loss = cross_entropy(network(picture), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.step()
    return network.eval().requires_grad_(False)


def _task(x: Tensor, labels: Tensor | None, randomness: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures and what is to be told of them: their class, or the turn that each is given."""
    if labels is not None:
        return x, labels.long()
    turns = torch.randint(TURNS, (len(x),), generator=randomness)
    turned = [torch.rot90(p, int(k), (1, 2)) for p, k in zip(x, turns, strict=True)]
    return torch.stack(turned), turns
