"""The latents of a data set, encoded once and kept on disk."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.codec import LatentCodec
from unfog.data.builtin.packages import cache_folder
from unfog.data.dataset import Dataset, Ids
from unfog.files.numpy_files import keep_array, kept_array
from unfog.progress import progress

BATCH = 16  # samples encoded at once


class Latents(Dataset):
    """The latents of a data set under an autoencoder, with the data's conditions.

    They are encoded once and kept in the cache by the fingerprint of the data and the SHA-256 of
    the autoencoder, so that no training encodes them again.

    Args:
        dataset: The data.
        codec: The autoencoder.
    """

    def __init__(self, dataset: Dataset, codec: LatentCodec) -> None:
        self.dataset, self.name = dataset, dataset.name
        self.shape = codec.latent_shape(dataset.shape)
        self.codec, self.conditions = {"name": "identity"}, dataset.conditions
        self.fingerprint, self.format = dataset.fingerprint, dataset.format
        path = cache_folder() / "latents" / f"{dataset.fingerprint[:32]}-{codec.sha256[:32]}.npy"
        self.latents = kept_array(path, (len(dataset), *self.shape), np.float32)
        if self.latents is None:
            self.latents = _encoded(dataset, codec, self.shape)
            keep_array(path, self.latents)

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        index = self.index(ids)
        assert self.latents is not None
        x = torch.from_numpy(np.array(self.latents[index]))
        return {**self.dataset.batch(ids), "x": x}


@torch.no_grad()
def _encoded(dataset: Dataset, codec: LatentCodec, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The latents of all samples, (samples, *shape)."""
    latents = np.empty((len(dataset), *shape), np.float32)
    with progress("encoding the data") as report:
        for start in range(0, len(dataset), BATCH):
            ids = range(start, min(start + BATCH, len(dataset)))
            latents[start : start + BATCH] = codec.encode(dataset.batch(ids)["x"]).numpy()
            report(ids[-1] + 1, len(dataset))
    return latents
