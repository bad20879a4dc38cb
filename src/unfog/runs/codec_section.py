"""The codec's section of a new run's config: what a codec with a latent space is told of its data,
and what the run keeps of it.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from unfog.core.codec import LatentCodec, codecs
from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.systems.registry import Config

PLACES = ("run", "path")  # keys that say where a codec's weights lie


def codec_section(section: Config, dataset: Dataset) -> Config:
    """A codec's section as a new run keeps it: its weights by absolute path and by SHA-256, its
    range and channels those of the data.

    Args:
        section: A registry config of a codec, with what the user set.
        dataset: The data.

    Returns:
        The section; for a codec without weights as it is, with the rate of the data where it takes
        one.

    Raises:
        InputError: It is not told where the weights lie.
    """
    parameters = inspect.signature(codecs.get(section["name"])).parameters
    place = next((key for key in PLACES if key in parameters), None)
    if place is None:
        rate = None if dataset.voxel is None else round(1 / dataset.voxel[0])
        return {**({"rate": rate} if "rate" in parameters and rate else {}), **section}
    if not section.get(place):
        trained_by = getattr(codecs.get(section["name"]), "trained_by", "autoencoder-kl")
        encoder = "joint encoder" if trained_by == "contrastive" else "autoencoder"
        raise InputError(
            f"A model in a latent space needs a trained {encoder}: --set "
            f"codec.{place}={place.upper()} (train one with unfog train {trained_by})."
        )
    told = {"low": dataset.codec.get("low"), "high": dataset.codec.get("high")}
    told |= {"channels": dataset.shape[0]}
    known = {key: v for key, v in told.items() if key in parameters and v is not None}
    full = {**known, **section}
    codec = codecs.build(full)
    assert isinstance(codec, LatentCodec)
    given = Path(full[place])
    where = str(given.resolve()) if given.exists() else full[place]
    return {**full, place: where, "sha256": codec.sha256}
