"""The captions of a data set and the prompts of a user, read by a run's own text encoder."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.data.builtin.packages import cache_folder
from unfog.data.dataset import Dataset, Ids
from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.numpy_files import keep_array, kept_array
from unfog.progress import progress
from unfog.systems.registry import Config
from unfog.text import PromptReader, padded, readers

NAME = "text"  # of the condition, and of the config's section
BATCH = 64  # captions read at once


class Captioned(Dataset):
    """A data set whose captions are the condition ``text``, read by a text encoder.

    What a frozen encoder makes of them is kept in the cache by the captions and the SHA-256 of the
    encoder, so that no training encodes them again. Captions are read when a batch is first asked
    for.

    Args:
        dataset: The data.
        reader: What reads their captions.

    Raises:
        InputError: The data have no captions.
    """

    def __init__(self, dataset: Dataset, reader: PromptReader) -> None:
        if dataset.captions is None:
            raise InputError(
                f"The data set {dataset.name!r} has no captions to learn text from; put a "
                "captions.csv beside the pictures and give --set data.captions=true."
            )
        self.dataset, self.reader = dataset, reader
        self.name, self.shape, self.codec = dataset.name, dataset.shape, dataset.codec
        self.space, self.format, self.voxel = dataset.space, dataset.format, dataset.voxel
        self.fingerprint, self.captions = dataset.fingerprint, dataset.captions
        self.conditions = {**dataset.conditions, NAME: dict(reader.condition)}
        self._states: States | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        return {**self.dataset.batch(ids), **self._text(ids)}

    def draw(self, ids: Ids, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return {**self.dataset.draw(ids, generators), **self._text(ids)}

    def _text(self, ids: Ids) -> dict[str, Tensor]:
        """The condition of some samples, padded to the longest caption of all."""
        if self._states is None:
            assert self.captions is not None
            self._states = States.of(self.captions, self.reader)
        return self._states.values(self.index(ids))


class States:
    """The values of captions, as one table of rows, and the places in it where captions begin.

    Args:
        rows: All captions' rows on end, (rows, ...).
        starts: Where each caption's begin, and the end, (captions + 1,).
        numbers: For each sample the number of its caption, (samples,).
    """

    def __init__(
        self, rows: NDArray[np.generic], starts: NDArray[np.int64], numbers: NDArray[np.int64]
    ) -> None:
        self.rows, self.starts, self.numbers = rows, starts, numbers
        self.longest = int(np.diff(starts).max())

    @classmethod
    def of(cls, captions: Sequence[str], reader: PromptReader) -> States:
        """The values of captions, read from the cache where they were kept."""
        texts = sorted(set(captions))
        place = {text: number for number, text in enumerate(texts)}
        numbers = np.array([place[caption] for caption in captions])
        if reader.sha256 is None:
            return cls(*_joined(_read(texts, reader)), numbers)
        said = hashlib.sha256(json.dumps([reader.max_tokens, *texts]).encode()).hexdigest()
        stem = f"{said[:32]}-{reader.sha256[:32]}"
        files = [cache_folder() / "text" / f"{stem}-{part}.npy" for part in ("starts", "rows")]
        starts = kept_array(files[0], (len(texts) + 1,), np.int64)
        if starts is not None:
            size = max(reader.condition["size"], reader.condition["pooled_size"])
            rows = kept_array(files[1], (int(starts[-1]), size), np.float32)
            if rows is not None:
                return cls(rows, np.array(starts), numbers)
        rows, starts = _joined(_read(texts, reader))
        keep_array(files[1], rows)
        keep_array(files[0], starts)
        return cls(rows, starts, numbers)

    def values(self, index: NDArray[np.int64]) -> dict[str, Tensor]:
        """The condition of some samples, with its mask."""
        begun = self.numbers[index]
        spans = zip(self.starts[begun], self.starts[begun + 1], strict=True)
        rows = [torch.from_numpy(np.array(self.rows[a:b])) for a, b in spans]
        value, mask = padded(rows, self.longest)
        return {NAME: value, f"{NAME}_mask": mask}


def _read(texts: Sequence[str], reader: PromptReader) -> list[Tensor]:
    """The rows of each caption."""
    rows = list[Tensor]()
    with progress("reading the captions") as report:
        for start in range(0, len(texts), BATCH):
            rows += reader.rows(texts[start : start + BATCH])
            report(len(rows), len(texts))
    return rows


def _joined(rows: Sequence[Tensor]) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Rows on end, and where each caption's begin, the end last."""
    starts = np.concatenate([[0], np.cumsum([len(one) for one in rows])]).astype(np.int64)
    assert all(b > a for a, b in pairwise(starts))
    return torch.cat(list(rows)).numpy(), starts


@cache
def _built(text: str) -> PromptReader:
    return readers.build(json_text.parse(text, "The text section"))


def reader_of(config: Config, name: str) -> PromptReader:
    """The text encoder of a run, built once.

    Args:
        config: The run's config.
        name: What the run is called in messages.

    Returns:
        What reads its prompts.

    Raises:
        InputError: The run was trained without text, or its encoder is missing or has changed.
    """
    if NAME not in config:
        raise InputError(f"{name} was trained without text; leave the text out.")
    return _built(json.dumps(config[NAME], sort_keys=True))


def text_section(section: Config) -> Config:
    """A text encoder's section as a new run keeps it: its folder by absolute path, and its
    SHA-256.
    """
    full = dict(section)
    if full.get("path"):
        full["path"] = str(Path(full["path"]).resolve())
    reader = _built(json.dumps(full, sort_keys=True))
    known = inspect.signature(readers.get(full["name"])).parameters
    if reader.sha256 is not None and "sha256" in known:
        full["sha256"] = reader.sha256
    return full


def captioned(dataset: Dataset, config: Config) -> Dataset:
    """The data with their captions as a condition, where the run's config has a text encoder; the
    data as they are where it has none.
    """
    if NAME not in config or isinstance(dataset, Captioned):
        return dataset
    return Captioned(dataset, reader_of(config, dataset.name))
