"""What ``unfog compare`` measures of a run: figures and floors, modes, figures by sampler steps,
and how well what is asked for is drawn.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.data.builtin.grid_mixture import GridMixture
from unfog.data.dataset import Dataset
from unfog.evaluation.distances import frechet_distance
from unfog.evaluation.feature_spaces import FeatureSpace, feature_spaces
from unfog.evaluation.judgement import judge
from unfog.evaluation.modes import modes_found
from unfog.evaluation.sliced import sliced_wasserstein
from unfog.runs.config import load_config
from unfog.runs.folder import CONFIG
from unfog.workflows.compare_control import TOLD, Control, controls_of
from unfog.workflows.judged import REFERENCE, draw_beside, real_samples, to_unit
from unfog.workflows.kinds import is_generator

LADDER = (1, 2, 4, 8)  # sampler steps that are tried beside a run's own
SHOWN = 32


@dataclass(frozen=True)
class Judge:
    """The real samples that all runs are judged beside, and in which features.

    Args:
        dataset: The data.
        n: Samples of a run.
        space: The feature space.
        controls: How well the data's classes and masks are drawn where they are asked for.
        order: The data in one order: the first n are the floor, others the reference.
    """

    dataset: Dataset
    n: int
    space: FeatureSpace
    controls: tuple[Control, ...]
    order: Tensor

    @classmethod
    def of(cls, dataset: Dataset, features: str, n: int, told: bool = True) -> Judge:
        """A judge by features of that name, and of the data's classes and masks unless they are not
        asked for.
        """
        order = torch.randperm(len(dataset), generator=generator(0, "compared"))
        x, labels = real_samples(dataset, order[n : n + REFERENCE])
        space = feature_spaces.build(features, x=x, labels=labels)
        taught, asked = order[n : n + REFERENCE], order[:n][:TOLD]
        controls = controls_of(dataset, taught, asked) if told and x.ndim == 4 else ()
        return cls(dataset, n, space, controls, order)

    def judged(self, run: Path, seed: int) -> tuple[dict[str, Any], Tensor]:
        """The figures of a run, and some of its samples in natural units."""
        x, seconds, drawn = self._drawn(run, seed)
        real, reference = (self.space.of(self._real(part)) for part in ("floor", "reference"))
        ours = self.space.of(to_unit(self.dataset, x))
        found = judge(ours, real, reference, seed).plain()
        found |= {"features": self.space.title, "seconds a sample": seconds, "drawn": drawn}
        if isinstance(self.dataset, GridMixture):
            modes, width = self.dataset.modes, self.dataset.width
            floor = self.dataset.batch(self.order[: self.n])["x"]
            found["modes"] = modes_found(x, modes, width)
            found["modes of real samples"] = modes_found(floor, modes, width)
        value = found["figures"].get(self.distance, {}).get("value")
        found |= {"distance": self.distance}
        found["by steps"] = self._by_steps(run, seed, reference, seconds, value)
        for control in self.controls:
            found[control.kind] = control.measured(run, seed)
        return found, x[:SHOWN]

    @property
    def distance(self) -> str:
        """The distance that sampler steps are compared by: of a few numbers, whose law is far from
        a Gaussian's, by transport.
        """
        return "frechet" if len(self.dataset.shape) > 1 else "sliced wasserstein"

    def _ids(self, part: str) -> Tensor:
        return self.order[: self.n] if part == "floor" else self.order[self.n :][:REFERENCE]

    def _real(self, part: str) -> Tensor:
        return real_samples(self.dataset, self._ids(part))[0]

    def _drawn(
        self, run: Path, seed: int, steps: int | None = None
    ) -> tuple[Tensor, float, dict[str, Any]]:
        """Samples, the CPU seconds of one, and how they were drawn."""
        ids = self._ids("floor")
        draw_beside(run, self.dataset, ids[:2], seed, steps=steps)  # what is done once
        begun = time.process_time()
        x, drawn = draw_beside(run, self.dataset, ids, seed, steps=steps)
        return x, (time.process_time() - begun) / self.n, drawn

    def _by_steps(
        self, run: Path, seed: int, reference: Tensor, seconds: float, value: float | None
    ) -> list[dict[str, Any]]:
        """The distance and the seconds of a sample, from few sampler steps to the run's
        own; of a generator, which has none, one entry.
        """
        found: list[dict[str, Any]] = []
        own = None if is_generator(run) else load_config(run / CONFIG)["sampling"]["steps"]
        if value is None:
            return found
        for steps in [k for k in LADDER if own is not None and k <= 2 * own and k != own]:
            x, cost, _ = self._drawn(run, seed, steps)
            ours = self.space.of(to_unit(self.dataset, x))
            if self.distance == "frechet":
                distance = frechet_distance(ours, reference)
            else:
                distance = sliced_wasserstein(ours, reference[: len(ours)])
            found.append({"steps": steps, "seconds a sample": cost, "distance": distance})
        found.append({"steps": own, "seconds a sample": seconds, "distance": value})
        return sorted(found, key=lambda one: one["seconds a sample"])
