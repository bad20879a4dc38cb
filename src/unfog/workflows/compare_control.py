"""How well a run draws what it is asked for: a class, by a classifier's accuracy; a mask, by a
segmenter's Dice. Both learn from real samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from unfog.core.random import generator
from unfog.data.dataset import Dataset
from unfog.evaluation.downstream import TASKS, Classification, Downstream, learn, scored, task_of
from unfog.runs.config import load_config
from unfog.runs.folder import CONFIG
from unfog.workflows.augment_pool import Labelled
from unfog.workflows.judged import draw_beside, to_unit
from unfog.workflows.kinds import is_generator

SCALES = (1.0, 2.0, 4.0)  # of guidance
TOLD = 250  # samples of each scale
TAUGHT = {True: 1500, False: 300}  # steps of a classifier, and of a segmenter


@dataclass(frozen=True)
class Control:
    """A network that finds one of the data's conditions in samples.

    Args:
        dataset: The data.
        name: The condition.
        task: What the network learned.
        network: The network.
        ids: The real samples whose conditions are asked for.
    """

    dataset: Dataset
    name: str
    task: Downstream
    network: nn.Module
    ids: Tensor

    @property
    def kind(self) -> str:
        """What is asked for, in a summary."""
        return "classes" if isinstance(self.task, Classification) else "masks"

    def measured(self, run: Path, seed: int) -> dict[str, float]:
        """The score of a run's samples by the scale of guidance, and as "real" of real samples,
        which alone is there of a run that is not told.
        """
        real = Labelled.of(self.dataset, self.name, self.ids)
        found = {"real": scored(self.task, self.network, real.x, real.target)}
        config, one_call = load_config(run / CONFIG), is_generator(run)
        told = [config["objective"].get("label")] if one_call else config.get("conditions") or ()
        if self.name not in told:
            return found
        for scale in (None,) if one_call else SCALES:
            x, _ = draw_beside(run, self.dataset, self.ids, seed, guidance=scale)
            name = "told" if scale is None else f"guided by {scale:g}"
            x = to_unit(self.dataset, x)
            found[name] = scored(self.task, self.network, x, real.target)
        return found


def controls_of(dataset: Dataset, taught: Tensor, asked: Tensor) -> tuple[Control, ...]:
    """A control for the data's first class and for its first mask, where it has them.

    Args:
        dataset: The data.
        taught: Numbers of the real samples that networks learn from.
        asked: Those of the samples whose conditions are asked for.

    Returns:
        The controls.
    """
    controls: dict[type[Downstream], Control] = {}
    for name, part in dataset.conditions.items():
        if part["name"] not in TASKS or TASKS[part["name"]] in controls:
            continue
        task, real = task_of(part), Labelled.of(dataset, name, taught)

        def batch(
            step: int, real: Labelled = real, size: int = task.batch
        ) -> tuple[Tensor, Tensor]:
            rows = torch.randint(len(real), (size,), generator=generator(1, "control", step))
            return real.x[rows], real.target[rows]

        steps = TAUGHT[isinstance(task, Classification)]
        network = learn(task, dataset.shape[0], batch, steps, seed=1)
        controls[type(task)] = Control(dataset, name, task, network, asked)
    return tuple(controls.values())
