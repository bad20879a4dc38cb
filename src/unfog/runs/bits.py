r"""Bits per dimension of data under a run: exact of a denoiser, a bound of a variational
autoencoder.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unfog.core.random import generators
from unfog.core.space import PLAIN
from unfog.errors import InputError
from unfog.evaluation.likelihood import bits_per_dim, dequantise, log_likelihood
from unfog.networks.generator.vae import Variational
from unfog.progress import Report
from unfog.runs.generated import GeneratorRun
from unfog.runs.run import Drawing, Run, data_range, require_pixels, require_posterior_mean
from unfog.sampling.flow import hutchinson

LEVELS = 255  # bins of the data's range, less one: those of 8-bit pictures
NOISIEST, TOLERANCE, BATCH = 80.0, 1e-3, 16


def bits_of_run(
    run: Run,
    x: Tensor,
    seed: int = 0,
    *,
    condition: Mapping[str, Tensor] | None = None,
    report: Report | None = None,
) -> Tensor:
    """Bits per dimension of data in 256 bins of their range, by the probability-flow ODE with
    Hutchinson's trace.

    Args:
        run: A denoiser's.
        x: Data in natural units, (n, channels, *space), at the low end of their bins.
        seed: Of the noise within bins, and of the trace.
        condition: What they show, by name.
        report: Told (samples done, samples in all).

    Returns:
        (n,), float64.

    Raises:
        InputError: The run is of a latent space, a student's, or its states fill a subspace.
    """
    require_posterior_mean(run)
    require_pixels(run, "a likelihood", "take a run of pixels")
    if run.space != PLAIN:
        raise InputError(f"The samples of {run.name} fill a subspace; bits are of whole samples.")
    quantum, parts = _quantum(run), []
    for start in range(0, len(x), BATCH):
        rows = slice(start, start + BATCH)
        ids = range(start, min(start + BATCH, len(x)))
        u = run.codec.encode(dequantise(x[rows], quantum, generators(seed, ids, "bins")))
        log_p = log_likelihood(
            run.denoiser,
            u,
            hutchinson(u, generators(seed, ids, "trace")),
            cleanest=quantum_noise(run),
            noisiest=NOISIEST,
            tolerance=TOLERANCE,
            condition={k: v[rows] for k, v in (condition or {}).items()},
        )
        parts.append(bits_per_dim(log_p.double(), u[0].numel(), run.codec, quantum))
        if report is not None:
            report(ids.stop, len(x))
    return torch.cat(parts)


@torch.no_grad()
def bits_of_generator(
    run: GeneratorRun, x: Tensor, seed: int = 0, labels: Tensor | None = None
) -> Tensor:
    """An upper bound on bits per dimension by the evidence bound, one draw of z a sample.

    Args:
        run: A variational autoencoder's.
        x: Data in natural units, (n, channels, *space), at the low end of their bins.
        seed: Of the noise within bins, and of z.
        labels: The class of each, (n,), for a run that knows classes.

    Returns:
        (n,), float64.

    Raises:
        InputError: The generator has no likelihood, as a GAN.
    """
    if not isinstance(run.model, Variational):
        raise InputError(f"{run.name} is a generator without a likelihood; leave out --bits.")
    quantum, ids = _quantum(run), range(len(x))
    u = run.codec.encode(dequantise(x, quantum, generators(seed, ids, "bins")))
    bound = run.model.bound(u.float(), generators(seed, ids, "bits"), labels)
    return bits_per_dim(-(bound.nll + bound.kl).double(), u[0].numel(), run.codec, quantum)


def quantum_noise(run: Run) -> float:
    """The noise level at which x is taken to be: a tenth of a bin, on the model's scale."""
    ends = run.codec.encode(torch.tensor([0.0, _quantum(run)]).view(2, *(1,) * len(run.shape)))
    return float((ends[1] - ends[0]).abs().flatten()[0]) / 10


def _quantum(run: Drawing) -> float:
    """The width of a bin in natural units."""
    low, high = data_range(run)
    return (high - low) / LEVELS
