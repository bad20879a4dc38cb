"""Extraction by many draws: what a model draws again and again under one condition, and lies near
to a training item, it has by heart (Carlini et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.evaluation.memorisation import Copies, Verdict, moves, standard, verdict


@dataclass(frozen=True)
class Extracted:
    """What was found among draws, (groups, draws).

    Args:
        repeated: Which have a near-duplicate under the same condition, and how likely so many are.
        near: Which lie nearer to one training item than held-out data do.
        nearest: That item's number.
    """

    repeated: Verdict
    near: Verdict
    nearest: Tensor

    @property
    def found(self) -> Tensor:
        """Which draws are both, (groups draws,)."""
        return self.repeated.flagged & self.near.flagged

    @property
    def items(self) -> list[int]:
        """The training items that were extracted, each once."""
        return sorted({*self.nearest[self.found].tolist()})


def nearest_in_group(x: Tensor) -> Tensor:
    """The distance of each draw to the nearest other one of its group, under flips, shifts of a
    pixel and any contrast and brightness: sqrt(2 - 2 r), r the largest correlation.

    Args:
        x: (groups, draws, channels, *space), two draws or more.

    Returns:
        (groups, draws).
    """
    rows = []
    for group in x:
        kept = standard(group)
        best = torch.stack([standard(moved) @ kept.T for moved in moves(group)]).amax(0)
        # A draw is not its own near-duplicate; moved to another it is, whichever of both moves.
        best = torch.maximum(best, best.T).fill_diagonal_(-1.0)
        rows.append((2 - 2 * best.amax(1)).clamp(min=0).sqrt())
    return torch.stack(rows)


def extracted(
    draws: Tensor, held_out: Tensor, near: Copies, held_near: Copies, alarm: float = 0.01
) -> Extracted:
    """What a model draws again and again, near to a training item.

    Args:
        draws: (groups, draws, channels, *space), a condition a group.
        held_out: (groups', draws, ...), data in the place of the draws, grouped alike.
        near: The nearest training items of the draws, in their order.
        held_near: Those of held-out data.
        alarm: The share of honest draws that each of both rules may flag.

    Returns:
        Who is both.
    """
    ours, others = nearest_in_group(draws).flatten(), nearest_in_group(held_out).flatten()
    return Extracted(
        verdict(ours, others, alarm),
        verdict(near.relative, held_near.relative, alarm),
        near.nearest,
    )
