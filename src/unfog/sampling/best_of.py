"""The best of several draws by a score (Ramesh et al. 2022, section 2.2: of two image embeddings
the one with the larger dot product with the text's).
"""

from __future__ import annotations

import torch
from torch import Tensor


def best_of(draws: Tensor, scores: Tensor) -> Tensor:
    """Of several draws of each sample the one with the largest score.

    Args:
        draws: (draws, batch, ...).
        scores: (draws, batch).

    Returns:
        (batch, ...); the first of those with equal scores.

    >>> best_of(torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]), torch.tensor([[0, 9], [5, 1]]))
    tensor([[3.],
            [2.]])
    """
    best = scores.argmax(0)
    return draws[best, torch.arange(len(best), device=best.device)]


def nearest(draws: Tensor, towards: Tensor) -> Tensor:
    """Of several drawn vectors the one with the largest dot product with a given one.

    Args:
        draws: (draws, batch, numbers).
        towards: (batch, numbers).

    Returns:
        (batch, numbers).
    """
    return best_of(draws, (draws * towards).sum(-1))
