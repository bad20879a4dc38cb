"""The loss of a trained run on given samples: what tells members from others, if anything does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from unfog.data.dataset import Dataset
from unfog.progress import Report
from unfog.runs.folder import fit_weights, load_weights, locate, run_config
from unfog.runs.train_from_config import model_of, objective_of, training_data

BATCH, DRAWS = 64, 8


@torch.no_grad()
def losses_of(
    source: str | Path,
    dataset: Dataset,
    ids: Tensor,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    report: Report | None = None,
) -> Tensor | None:
    """The run's own training loss on samples, averaged over draws of time and noise.

    Draw j in place i is the same for as many samples of any data, so that members and others are
    compared at the same times and noise.

    Args:
        source: The run.
        dataset: The data, of the kind that it was trained on.
        ids: The samples' numbers (n,).
        draws: Of time and noise.
        seed: Of the draws.
        report: Told (batches done, batches in all).

    Returns:
        (n,); None where the run's loss is none of single samples: that of a game, or of a student.
    """
    path = locate(source)
    config = run_config(path)
    if config["objective"].get("name", "denoising") not in ("denoising", "evidence"):
        return None
    # Without augmentation, and without hiding conditions.
    config = {**config, "augment": {"name": "none"}, "conditions": _told(config)}
    model, objective = model_of(config), objective_of(config)
    fit_weights(model, load_weights(path), path.name)
    model.eval().requires_grad_(False)
    data, codec = training_data(config, dataset)
    total, parts = draws * -(-len(ids) // BATCH), list(_parts(len(ids)))
    sums = torch.zeros(len(ids), dtype=torch.float64)
    for draw in range(draws):
        for number, places in enumerate(parts):
            batch = data.batch(ids[places.start : places.stop])
            batch["x"] = codec.encode(batch["x"])
            losses = objective(model, batch, list(places), seed, draw + 1)
            assert isinstance(losses, Tensor)
            sums[places.start : places.stop] += losses.double()
            if report is not None:
                report(draw * len(parts) + number + 1, total)
    return sums / draws


def _told(config: dict[str, object]) -> dict[str, object]:
    """The conditions of a config, never hidden."""
    sections = config.get("conditions") or {}
    assert isinstance(sections, dict)
    return {name: {**part, "drop": 0.0} for name, part in sections.items()}


def _parts(count: int) -> Iterator[range]:
    """Places in batches."""
    for start in range(0, count, BATCH):
        yield range(start, min(start + BATCH, count))
