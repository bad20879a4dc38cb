"""Masks of k-space (Lustig, Donoho & Pauly 2007)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unfog.errors import InputError


def random_lines(rows: int, columns: int, factor: int, centre: int, seed: int = 0) -> Tensor:
    """A variable-density mask of k-space lines: the middle whole, the others at random, fewer far
    from it (Lustig, Donoho & Pauly 2007).

    Args:
        rows: lines of k-space.
        columns: points of a line.
        factor: rows / ``factor`` whole lines are measured.
        centre: lines within ``centre`` / 2 of the middle are all measured.
        seed: of the random ones.

    Returns:
        (1, 1, rows, columns), True where k-space is measured.

    Raises:
        InputError: where the middle alone is more than that.
    """
    place = np.abs(np.arange(rows) - rows // 2)
    lines = place <= centre // 2
    more = rows // factor - int(lines.sum()) if factor > 0 else -1
    if more < 0:
        raise InputError(
            f"Of {rows} lines one in {factor} leaves less than the {int(lines.sum())} of the "
            "middle; measure more of them."
        )
    # The other lines, by a density that falls with the distance from the middle.
    weights = np.where(lines, 0, (1 - place / (rows / 2 + 1)) ** 2 + 0.02)
    if more:
        lines[
            np.random.default_rng(seed).choice(rows, more, replace=False, p=weights / weights.sum())
        ] = True
    return torch.from_numpy(lines)[:, None].expand(rows, columns)[None, None]
