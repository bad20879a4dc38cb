"""The arms of an augmentation study: how each trains a downstream network, and what they gain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.evaluation.classical_augmentation import ClassicalAugmentation
from unfog.evaluation.conformal import student_quantile
from unfog.evaluation.downstream import Downstream, learn, scored
from unfog.workflows.augment_pool import Labelled

REAL, CLASSICAL = "real", "classical"
LEVEL = 0.95
Scores = Mapping[str, Mapping[str, Sequence[float]]]  # labels -> arm -> a score a seed


def synthetic(ratio: float) -> str:
    """The name of the arm with so many synthetic pictures a real one."""
    return f"synthetic {ratio:g}"


@dataclass(frozen=True)
class Arms:
    """Trains the same network for as many steps on what each arm has, and scores it.

    Args:
        task: The downstream task.
        test: The real pictures that it is scored on.
        classical: Classical augmentation.
        steps: Of training.
    """

    task: Downstream
    test: Labelled
    classical: ClassicalAugmentation
    steps: int

    def score(self, arm: str, real: Labelled, pool: Labelled, seed: int) -> float:
        """The score of one network.

        Args:
            arm: ``real``, ``classical`` or ``synthetic RATIO``.
            real: The labelled pictures.
            pool: Synthetic ones, one for each label, then another for each, and so on.
            seed: Of weights and batches, the same for each arm.

        Returns:
            The mean score on the test pictures.
        """
        ratio = float(arm.rpartition(" ")[2]) if arm not in (REAL, CLASSICAL) else 0.0
        data = real + pool[: round(ratio * len(real))]

        def batch(step: int) -> tuple[Tensor, Tensor]:
            randomness = generator(seed, "study", step)
            rows = torch.randint(len(data), (self.task.batch,), generator=randomness)
            part = data[rows]
            if arm == CLASSICAL:
                return self.classical(part.x, part.target, seed, step)
            return part.x, part.target

        network = learn(self.task, real.x.shape[1], batch, self.steps, seed)
        return scored(self.task, network, self.test.x, self.test.target)


def summarised(scores: Scores, ratios: Sequence[float]) -> dict[str, Any]:
    """What the arms score, what they gain, and from which ratio synthetic pictures hurt.

    Args:
        scores: By number of labels and arm, one a seed, in one order of seeds.
        ratios: The ratios, rising.

    Returns:
        For each number of labels: mean and 95 % interval by arm, of the scores and of their
        differences from ``real`` and from ``classical`` over the same seeds; the ratio from which
        synthetic pictures help (hurt), the least whose interval is above (below) nought.
    """
    found = {}
    for labels, arms in scores.items():
        table: dict[str, Any] = {arm: {"score": _mean(values)} for arm, values in arms.items()}
        for arm, values in arms.items():
            for other in (REAL, CLASSICAL):
                if arm != other:
                    pairs = zip(values, arms[other], strict=True)
                    table[arm][f"over {other}"] = _mean([a - b for a, b in pairs])
        gains = {r: table[synthetic(r)][f"over {REAL}"]["interval"] for r in ratios}
        found[labels] = {
            "arms": table,
            "helps from": next((r for r, gain in gains.items() if gain and gain[0] > 0), None),
            "hurts from": next((r for r, gain in gains.items() if gain and gain[1] < 0), None),
        }
    return found


def _mean(values: Sequence[float]) -> dict[str, Any]:
    """The mean, with Student's interval where there are several."""
    n, mean = len(values), math.fsum(values) / len(values)
    if n < 2:
        return {"mean": mean, "interval": None}
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    half = student_quantile(n - 1, LEVEL) * deviation / math.sqrt(n)
    return {"mean": mean, "interval": [mean - half, mean + half]}
