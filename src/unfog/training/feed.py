"""The batches of a training run: ordered, augmented in natural units, encoded, and moved to the
device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.codec import Codec
from unfog.data.dataset import Dataset
from unfog.training import order
from unfog.training.settings import TrainSettings

Augment = Callable[[Tensor, Sequence[torch.Generator]], Tensor]


@dataclass(frozen=True)
class Feed:
    """``feed(step)`` is the batch of a step, ``"x"`` on the model's scale, and the numbers of its
    samples.
    """

    dataset: Dataset
    augment: Augment | None
    codec: Codec
    settings: TrainSettings
    device: torch.device

    def __call__(self, step: int) -> tuple[dict[str, Tensor], list[int]]:
        seed = self.settings.seed
        samples = order.ids(seed, step, self.settings.batch, len(self.dataset))
        batch = self.dataset.batch(samples)
        if self.augment is not None:
            batch["x"] = self.augment(batch["x"], order.streams("augment", seed, step, samples))
        batch["x"] = self.codec.encode(batch["x"])
        return {name: value.to(self.device) for name, value in batch.items()}, samples
