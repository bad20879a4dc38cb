"""Draws of a run under the same conditions, again and again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.data.dataset import Dataset
from unfog.evaluation.extraction import extracted
from unfog.evaluation.memorisation import LEAST, nearest_in_pixels
from unfog.files.folder import Job
from unfog.runs.folder import locate, run_config
from unfog.workflows.audit_report import Searched
from unfog.workflows.judged import draw_beside, is_run, real_samples, some_of, to_unit
from unfog.workflows.kinds import is_generator

EXTRACT = 16  # draws of each condition by default
CONDITIONS = 10
HELD = 2000  # held-out items to make groups of, at most


@dataclass(frozen=True)
class Draws:
    """How a run is drawn from.

    Args:
        source: The run, or a folder of samples.
        train: Its training data, whose conditions it is told.
        other: Data alike.
        steps: Sampler steps.
        seed: Of the draws and of the choice of conditions.
        precision: Of its network.
        alarm: The share of false alarms of each rule.
    """

    source: Path
    train: Dataset
    other: Dataset
    steps: int | None
    seed: int
    precision: str
    alarm: float

    def extracted(
        self, x: Tensor, train: Tensor, searched: Searched, draws: int, work: Job
    ) -> dict[str, Any]:
        """What is drawn again and again, near to a training item.

        Args:
            x: The samples of the audit: of a run without conditions all are of one.
            train: The training data, in [0, 1].
            searched: Their nearest training items, and those of held-out data, in pixels.
            draws: Of each condition; 0 for none.
            work: Shows progress.

        Returns:
            How many draws have a near-duplicate, how many of these lie near to a training item,
            and which items these are; or why it was left out.
        """
        if not draws or x.ndim < 3:
            return {"left out": "it was not asked for" if not draws else "the samples are vectors"}
        told = is_run(self.source) and self._told()
        held, labels = real_samples(self.other, some_of(self.other, HELD, self.seed))
        if told:
            groups = self._groups(draws, work)
            near = nearest_in_pixels(groups.flatten(0, 1), train)
            held = _grouped(held, labels, groups.shape[0], draws)
        else:  # groups of one size, on which the nearest neighbour depends
            size = min(len(x), len(held))
            groups, near, held = x[None, :size], searched.samples.first(size), held[None, :size]
        if held.shape[0] * held.shape[1] < LEAST:
            return {"left out": f"the held-out data make no groups of {LEAST} or more"}
        found = extracted(groups, held, near, searched.held_out, self.alarm)
        return {
            "conditions": groups.shape[0],
            "draws of each": groups.shape[1],
            "near-duplicates": int(found.repeated.flagged.sum()),
            "so many by chance": found.repeated.chance,
            "of these near to a training item": int(found.found.sum()),
            "training items": found.items,
        }

    def _told(self) -> bool:
        """Whether the run knows conditions."""
        config = run_config(locate(self.source))
        if is_generator(self.source):
            return config["objective"].get("label") is not None
        return bool(config.get("conditions"))

    def _groups(self, draws: int, work: Job) -> Tensor:
        """Draws under the conditions of some training items, (conditions, draws, ...)."""
        ids = some_of(self.train, CONDITIONS, self.seed + 1)
        how = work.progress("drawing again and again")
        x, _ = draw_beside(
            self.source,
            self.train,
            ids.repeat_interleave(draws),
            self.seed + 1,
            precision="auto" if is_generator(self.source) else self.precision,
            steps=self.steps,
            report=how,
        )
        unit = to_unit(self.train, x)
        return unit.reshape(len(ids), draws, *unit.shape[1:])


def _grouped(held: Tensor, labels: Tensor | None, groups: int, draws: int) -> Tensor:
    """Held-out data in groups as large as the draws', with classes each of one class; there may be
    fewer groups.
    """
    order = torch.arange(len(held)) if labels is None else labels.argsort(stable=True)
    sorted_labels = None if labels is None else labels[order]
    parts = [
        held[order[start : start + draws]]
        for start in range(0, len(held) - draws + 1, draws)
        if sorted_labels is None or sorted_labels[start] == sorted_labels[start + draws - 1]
    ]
    if not parts:
        return held[:0][None]
    chosen = torch.linspace(0, len(parts) - 1, min(len(parts), groups)).round().long()
    return torch.stack([parts[k] for k in chosen.tolist()])
