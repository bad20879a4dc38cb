"""Small pictures with texts: a square of a colour in one of four corners, and what says so."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.data.dataset import ArrayDataset

COLOURS, CORNERS = 6, 4


def corners(count: int, seed: int = 0, side: int = 8) -> tuple[ArrayDataset, Tensor]:
    """Pictures (count, 3, side, side) in [0, 1] with two tokens each and padding, and the number
    of what each shows, of 24.
    """
    g = torch.Generator().manual_seed(seed)
    colour = torch.randint(COLOURS, (count,), generator=g)
    corner = torch.randint(CORNERS, (count,), generator=g)
    palette = torch.tensor(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=torch.float32
    )
    x, half = 0.1 * torch.rand(count, 3, side, side, generator=g), side // 2
    for k in range(count):
        top, left = divmod(int(corner[k]), 2)
        place = (slice(top * half, (top + 1) * half), slice(left * half, (left + 1) * half))
        shade = 0.6 + 0.4 * torch.rand(1, generator=g)
        x[(k, slice(None), *place)] = (palette[colour[k]] * shade)[:, None, None]
    words = torch.eye(COLOURS + CORNERS)
    text = torch.stack([words[colour], words[COLOURS + corner], torch.zeros_like(words[colour])], 1)
    mask = torch.tensor([1.0, 1.0, 0.0]).expand(count, -1)
    data = ArrayDataset(
        "memory",
        x.numpy(),
        {"name": "range", "low": 0.0, "high": 1.0},
        {"text": {"name": "tokens", "size": COLOURS + CORNERS}},
        {"text": text.numpy(), "text_mask": mask.numpy()},
    )
    return data, colour * CORNERS + corner
