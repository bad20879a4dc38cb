"""The batches of a training run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.codec import Codec
from unfog.core.conditions import conditions
from unfog.data.augment import Augmentation, warp_mask
from unfog.data.dataset import Dataset
from unfog.training import order
from unfog.training.processes import ALONE, Processes
from unfog.training.settings import TrainSettings

# (x in natural units, a generator for each sample) -> x
Augment = Callable[[Tensor, Sequence[torch.Generator]], Tensor]


@dataclass(frozen=True)
class Feed:
    """Makes the batch of a training step: chosen by (seed, step), augmented in natural units, with
    the images and masks among its conditions moved as it is, encoded to the model's scale, and
    moved to the device.

    Args:
        dataset: The training data.
        augment: Augments x in natural units; None leaves it.
        codec: Between natural units and the model's scale.
        settings: Batch size and seed.
        device: Where training runs.
        processes: Those that train together, of whose batch this makes one share.
    """

    dataset: Dataset
    augment: Augment | None
    codec: Codec
    settings: TrainSettings
    device: torch.device
    processes: Processes = ALONE

    def __call__(self, step: int) -> tuple[dict[str, Tensor], list[int]]:
        """The batch of a step, clean data as ``"x"`` (batch, channels, *space) and conditions by
        name, and the numbers of its samples in the data set.
        """
        seed = self.settings.seed
        whole = order.ids(seed, step, self.settings.batch, len(self.dataset))
        samples = self.processes.share(whole)
        batch = self.dataset.draw(samples, order.streams("patch", seed, step, samples))
        if self.augment is not None:
            self._move_companions(batch, step, samples)
            batch["x"] = self.augment(batch["x"], order.streams("augment", seed, step, samples))
        batch["x"] = self.codec.encode(batch["x"])
        return {name: value.to(self.device) for name, value in batch.items()}, samples

    def _move_companions(self, batch: dict[str, Tensor], step: int, samples: list[int]) -> None:
        """Warp, in place, the conditions that lie on the grid of x, exactly as x will be."""
        if not isinstance(self.augment, Augmentation):
            return
        for name, part in self.dataset.conditions.items():
            if not getattr(conditions.get(part["name"]), "on_grid", False):
                continue
            streams = order.streams("augment", self.settings.seed, step, samples)
            value, classes = batch[name], part.get("classes")
            batch[name] = (
                self.augment.warp(value, streams)
                if classes is None
                else warp_mask(self.augment, value, classes, streams)
            )
