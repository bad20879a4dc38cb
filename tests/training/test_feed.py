"""The batches of training: a mask moves with its image."""

from __future__ import annotations

import numpy as np
import torch

from unfog.core.codec import codecs
from unfog.data.augment import augmentations
from unfog.data.dataset import ArrayDataset
from unfog.training.feed import Feed
from unfog.training.settings import TrainSettings

BOX = np.zeros((6, 1, 24, 24), np.float32)
for k in range(6):
    BOX[k, 0, 4 + k : 16 + k, 6:14] = 1


def feed(mask: np.ndarray, augment: str) -> dict[str, torch.Tensor]:
    identity = {"name": "identity"}
    part = {"box": {"name": "mask", "classes": 2}}
    data = ArrayDataset("box", BOX, identity, part, {"box": mask})
    settings = TrainSettings(steps=1, batch=6, lr=1e-3)
    made = Feed(data, augmentations.build(augment), codecs.build(identity), settings, "cpu")
    return made(1)[0]


def test_labels_stay_labels_and_lie_where_the_image_is() -> None:
    batch = feed(BOX.astype(np.uint8), "anatomy")
    assert set(batch["box"].unique().tolist()) == {0.0, 1.0}
    inside = batch["x"] > 0.5
    agree = (inside == (batch["box"] > 0.5)).float().mean()
    assert float(agree) > 0.98
    assert not np.array_equal(np.sort(batch["box"].numpy(), 0), np.sort(BOX, 0))


def test_probabilities_still_sum_to_one() -> None:
    maps = feed(np.concatenate([1 - 0.9 * BOX, 0.9 * BOX], 1), "anatomy")["box"]
    torch.testing.assert_close(maps.sum(1), torch.ones(6, 24, 24))
    assert len(maps[:, 1].unique()) > 10
