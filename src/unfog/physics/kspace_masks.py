"""Which lines of k-space are measured: the middle whole, the others at random, fewer far from it
(Lustig, Donoho & Pauly 2007).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unfog.errors import InputError


def random_lines(rows: int, columns: int, factor: int, centre: int, seed: int = 0) -> Tensor:
    """A mask (1, 1, rows, columns) of rows / ``factor`` whole rows, among them those within
    ``centre`` / 2 of the middle.
    """
    place = np.abs(np.arange(rows) - rows // 2)
    chosen = place <= centre // 2
    more = rows // factor - int(chosen.sum()) if factor > 0 else -1
    if more < 0:
        raise InputError(
            f"Of {rows} lines one in {factor} leaves less than the {int(chosen.sum())} of the "
            "middle; measure more of them."
        )
    weights = np.where(chosen, 0, (1 - place / (rows / 2 + 1)) ** 2 + 0.02)
    if more:
        chosen[
            np.random.default_rng(seed).choice(rows, more, replace=False, p=weights / weights.sum())
        ] = True
    return torch.from_numpy(chosen)[:, None].expand(rows, columns)[None, None]
