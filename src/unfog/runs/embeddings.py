"""The embeddings of a data set's pictures as a condition, by a trained joint encoder: what
DALL-E 2's decoder is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unfog.data.dataset import Dataset, Ids
from unfog.errors import InputError
from unfog.runs.joint_codec import JointEncoderCodec
from unfog.runs.latents import Latents
from unfog.systems.registry import Config

NAME = "embedding"  # of the condition


class Embedded(Dataset):
    """A data set with the embeddings of its pictures as the condition ``embedding``, encoded once
    and kept in the cache.

    Args:
        dataset: The data.
        codec: The joint encoder.
    """

    def __init__(self, dataset: Dataset, codec: JointEncoderCodec) -> None:
        self.dataset, self.encoder, self.name = dataset, codec, dataset.name
        self.shape, self.codec = dataset.shape, dataset.codec
        self.fingerprint, self.format = dataset.fingerprint, dataset.format
        self.space, self.voxel = dataset.space, dataset.voxel
        part = {"name": NAME, "size": codec.network.embedding}
        self.conditions = {**dataset.conditions, NAME: part}
        self._latents: Latents | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        return {**self.dataset.batch(ids), NAME: self._embeddings(ids)}

    def draw(self, ids: Ids, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return {**self.dataset.draw(ids, generators), NAME: self._embeddings(ids)}

    def _embeddings(self, ids: Ids) -> Tensor:
        if self._latents is None:
            self._latents = Latents(self.dataset, self.encoder)
        assert self._latents.latents is not None
        return torch.from_numpy(np.array(self._latents.latents[self.index(ids)]))


@lru_cache(maxsize=4)
def _opened(run: str, sha256: str | None) -> JointEncoderCodec:
    return JointEncoderCodec(run, sha256)


def encoder_of(config: Config) -> JointEncoderCodec:
    """The joint encoder that a config names, in its ``encoder`` section; ``InputError`` where the
    section names none.
    """
    section = config.get("encoder") or {}
    if not section.get("run"):
        raise InputError(
            "This model is told embeddings of pictures and needs a trained joint encoder: --set "
            "encoder.run=RUN (train one with unfog train contrastive)."
        )
    return _opened(str(section["run"]), section.get("sha256"))


def encoder_section(section: Config) -> Config:
    """The section as a new run keeps it: the run by absolute path, and its SHA-256."""
    codec = encoder_of({"encoder": section})
    given = Path(section["run"])
    return {
        "run": str(given.resolve()) if given.exists() else str(given),
        "sha256": codec.sha256,
    }


def embedded(dataset: Dataset, config: Config) -> Dataset:
    """The data with their embeddings as a condition, where the config has a joint encoder; the
    data as they are where it has none.
    """
    if "encoder" not in config or isinstance(dataset, Embedded):
        return dataset
    return Embedded(dataset, encoder_of(config))
