"""The likelihood of given samples under a trained run: what tells members from others, beside the
loss.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.space import spaces
from unfog.data.dataset import Dataset
from unfog.evaluation.likelihood import log_likelihood
from unfog.networks.generator import Variational
from unfog.progress import Report
from unfog.runs.folder import fit_weights, load_weights, locate, run_config
from unfog.runs.train_from_config import model_of, training_data
from unfog.sampling.flow import hutchinson
from unfog.training.order import streams

BATCH, BOUNDS = 16, 8  # samples at a time; draws of a VAE's bound
CLEANEST, NOISIEST, TOLERANCE = 0.02, 50.0, 1e-2  # coarse: members and others are measured alike


def unlikelihood_of(
    source: str | Path,
    dataset: Dataset,
    ids: Tensor,
    *,
    seed: int = 0,
    report: Report | None = None,
) -> Tensor | None:
    """-log p(x | condition) in nats on the model's scale: of a diffusion model by the probability-
    flow ODE with Hutchinson's estimate (``evaluation.likelihood``), of a VAE its evidence bound.

    The probe in place i is the same for as many samples of any data.

    Args:
        source: The run.
        dataset: The data, of the kind that it was trained on.
        ids: The samples' numbers (n,).
        seed: Of the probes.
        report: Told (batches done, batches in all).

    Returns:
        (n,), float64; None of a GAN, which has no likelihood, and of a student, which has no flow.

    Raises:
        InputError: The solver of the ODE is not installed.
    """
    path = locate(source)
    config = run_config(path)
    if config["objective"].get("name", "denoising") not in ("denoising", "evidence"):
        return None
    config = {**config, "augment": {"name": "none"}}
    model = model_of(config)
    fit_weights(model, load_weights(path), path.name)
    model.eval().requires_grad_(False)
    data, codec = training_data(config, dataset)
    space, found = spaces.build(config.get("space") or "plain"), []
    parts = torch.split(torch.arange(len(ids)), BATCH)
    for number, places in enumerate(parts, 1):
        batch = data.batch(ids[places])
        x = codec.encode(batch["x"]).float()
        if isinstance(model, Variational):
            label = batch.get(config["objective"].get("label") or "")
            found.append(_bound(model, x, label, places.tolist(), seed))
        else:
            assert isinstance(model, NetworkDenoiser)
            owner = model.conditioner.owner
            told = {k: v for k, v in batch.items() if k != "x" and owner(k) is not None}
            trace = hutchinson(x, streams("probe", seed, 0, places.tolist()))
            found.append(
                -log_likelihood(
                    model,
                    x,
                    trace,
                    cleanest=CLEANEST,
                    noisiest=_noisiest(model),
                    tolerance=TOLERANCE,
                    condition=told,
                    space=space,
                ).double()
            )
        if report is not None:
            report(number, len(parts))
    return torch.cat(found)


def _noisiest(model: NetworkDenoiser) -> float:
    """The level at which the flow is left; the process may end before."""
    return min(NOISIEST, float(model.process.noise_level(torch.ones((), dtype=torch.float64))))


@torch.no_grad()
def _bound(
    model: Variational, x: Tensor, label: Tensor | None, places: list[int], seed: int
) -> Tensor:
    """The evidence bound, averaged over draws of the latents, (batch,)."""
    rows = []
    for draw in range(BOUNDS):
        one = model.bound(x, streams("bound", seed, draw, places), label)
        rows.append((one.nll + one.kl).double())
    return torch.stack(rows).mean(0)
