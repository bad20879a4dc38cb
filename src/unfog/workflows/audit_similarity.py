"""Samples and their nearest training items, compared by SSCD."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unfog.evaluation.memorisation import Copies
from unfog.evaluation.sscd import COPY, SSCD
from unfog.workflows.audit_report import Searched

PAIRS = 100  # those nearest to one training item, of samples and of held-out data


def similarity(
    judge: SSCD, x: Tensor, held: Tensor, train: Tensor, searched: Searched
) -> dict[str, Any]:
    """The similarity of samples to their nearest training items, and that of held-out data.

    Args:
        judge: The network.
        x: Samples, in [0, 1].
        held: Held-out data.
        train: Training data.
        searched: Who is nearest in pixels: only these pairs are compared.

    Returns:
        Of both: how many pairs, how many are copies, and the largest similarities.
    """
    found: dict[str, Any] = {"network": judge.name, "a copy is above": COPY}
    for name, samples, copies in (
        ("samples", x, searched.samples),
        ("held out", held, searched.held_out),
    ):
        found[name] = _of(judge, samples, train, copies)
    return found


def _of(judge: SSCD, x: Tensor, train: Tensor, copies: Copies) -> dict[str, Any]:
    worst = copies.relative.argsort()[:PAIRS]
    alike = judge.similarity(x[worst], train[copies.nearest[worst]])
    largest = alike.sort(descending=True).values[:20]
    return {
        "pairs": len(worst),
        "copies": int((alike > COPY).sum()),
        "median": float(alike.median()),
        "largest": [round(v, 4) for v in largest.tolist()],
    }
