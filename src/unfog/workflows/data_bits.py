"""Bits per dimension of a data set under a run, for ``unfog evaluate --bits``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.builtin import open_run
from unfog.core.random import generator
from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.evaluation.estimates import mean_estimate
from unfog.progress import Report
from unfog.runs.bits import bits_of_generator, bits_of_run
from unfog.runs.embeddings import embedded
from unfog.runs.generated import GeneratorRun
from unfog.runs.text_states import captioned
from unfog.workflows.judged import is_run, require_shape
from unfog.workflows.kinds import is_generator

LEAST = 2


def bits_of_data(
    source: Path, dataset: Dataset, count: int, seed: int, precision: str, report: Report
) -> dict[str, Any]:
    """Bits per dimension of real samples, under a denoiser exactly and under a variational
    autoencoder as a bound.

    Args:
        source: The run.
        dataset: The data.
        count: Samples of it, evenly drawn.
        seed: Of the choice, and of the noise within bins.
        precision: Of a denoiser's network.
        report: Told (samples done, samples in all).

    Returns:
        "bits per dimension": value, interval, n, and whether it is a bound.

    Raises:
        InputError: The source is no run, or one without a likelihood; there are too few samples.
    """
    if not is_run(source):
        raise InputError(f"{source} is no run, and bits are of a model; leave out --bits.")
    if not LEAST <= count <= len(dataset):
        raise InputError(
            f"Bits are of {LEAST} to {len(dataset)} samples of this data, not {count}."
        )
    ids = torch.randperm(len(dataset), generator=generator(seed, "bits"))[:count]
    bound = is_generator(source)
    if bound:
        run, batch = GeneratorRun.open(source), dataset.batch(ids)
        found = bits_of_generator(run, batch["x"], seed, batch.get(run.label or ""))
    else:
        found = _of_denoiser(source, dataset, ids, seed, precision, report)
    estimate = mean_estimate(found, seed)
    said = {"value": estimate.value, "interval": list(estimate.interval), "n": count}
    return {"bits per dimension": {**said, "a bound": bound}}


def _of_denoiser(
    source: Path, dataset: Dataset, ids: Tensor, seed: int, precision: str, report: Report
) -> Tensor:
    """Bits of samples under a denoiser that is told what they show."""
    run = open_run(source, precision)
    require_shape(str(source), run.shape, dataset)
    batch = embedded(captioned(dataset, run.config), run.config).batch(ids)
    owner = run.denoiser.conditioner.owner
    told = {k: v for k, v in batch.items() if k != "x" and owner(k) is not None}
    return bits_of_run(run, batch["x"], seed, condition=told, report=report)
