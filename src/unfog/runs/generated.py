"""A run of a generator: a model that draws samples in one call, and is no denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.core.codec import Codec, codecs
from unfog.core.random import generators
from unfog.errors import InputError
from unfog.networks.generator import Generator
from unfog.progress import Report
from unfog.runs.build import build_generator, is_generator
from unfog.runs.folder import (
    fit_weights,
    load_weights,
    locate,
    run_card,
    run_config,
    weights_sha256,
)
from unfog.systems.registry import Config

BATCH = 64


@dataclass(frozen=True)
class GeneratorRun:
    """A trained generator with what is needed to use it.

    Args:
        path: Its folder.
        config: What it is made of, as plain data.
        model: The network with its averaged weights, frozen.
        codec: Between natural units and the model's scale.
        shape: Of a sample, (channels, *space).
        card: Figures measured on it, if any.
    """

    path: Path
    config: Config
    model: Generator
    codec: Codec
    shape: tuple[int, ...]
    card: Mapping[str, Any]

    @classmethod
    def open(cls, source: str | Path) -> GeneratorRun:
        """The run at a path; ``InputError`` where it is none of a generator, or its files are not
        as they were written.
        """
        path = locate(source)
        config = run_config(path)
        if not is_generator(config):
            raise InputError(f"{path.name} is a run of {config.get('system')!r}, no generator.")
        weights, card = load_weights(path), run_card(path)
        model = build_generator(config)
        fit_weights(model, weights, path.name)
        model.eval().requires_grad_(False)
        codec = codecs.build(config["codec"])
        return cls(path, config, model, codec, tuple(config["shape"]), card)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.name

    @property
    def label(self) -> str | None:
        """The condition that says the class; None where it knows none."""
        label: str | None = self.config["objective"].get("label")
        return label

    @torch.no_grad()
    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        labels: Tensor | None = None,
        batch: int = BATCH,
        report: Report | None = None,
    ) -> Tensor:
        """Samples in natural units.

        Args:
            count: How many.
            seed: Sample k depends on (seed, k) and its class alone.
            labels: The class of each, (count,); drawn evenly where it is not given.
            batch: Samples at a time.
            report: Told (samples done, samples in all).

        Returns:
            (count, channels, *space).

        Raises:
            InputError: Classes are given and it knows none, or not that many.
        """
        self._check(labels)
        parts = []
        for start in range(0, count, batch):
            ids = range(start, min(start + batch, count))
            asked = None if labels is None else labels[ids.start : ids.stop]
            parts.append(self.codec.decode(self.model.draw(generators(seed, ids), asked)))
            if report is not None:
                report(ids.stop, count)
        return torch.cat(parts)

    def _check(self, labels: Tensor | None) -> None:
        """``InputError`` for classes that the model does not know."""
        known = self.model.classes
        if labels is None or (len(labels) and 0 <= int(labels.min()) <= int(labels.max()) < known):
            return
        if not known:
            raise InputError(f"The run {self.name} was trained without classes; leave --class out.")
        raise InputError(
            f"The run {self.name} has classes 0 to {known - 1}, not {int(labels.max())}."
        )

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the weights (``runs.folder.weights_sha256``)."""
        return weights_sha256(self.model.state_dict())
