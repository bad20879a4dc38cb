"""Sounds of a known law: autoregressive noise, its prior, and windows restored by it."""

import numpy as np
import torch

from unfog.audio.oracle import ar_spectrum, sound_oracle
from unfog.audio.windows import Windows
from unfog.core.codec import Range
from unfog.core.process import processes
from unfog.runs.sample import Plan
from unfog.sampling.grids import grids
from unfog.sampling.samplers import samplers

WINDOW = 512
RESONANT = (1.6, -0.81)  # a resonance at a fourteenth of the rate


class Prior:
    """What a run shows, around a prior that is known: autoregressive noise of deviation .1."""

    shape = latent_shape = (1, WINDOW)
    codec = Range(-1.0, 1.0)
    config: dict[str, object] = {}  # noqa: RUF012

    def __init__(self, coefficients=RESONANT):
        process = processes.build({"name": "edm", "sigma_max": 4.0})
        self.denoiser = sound_oracle(process, ar_spectrum(WINDOW, coefficients))

    def plan(self, steps, least=1e-3):
        """Heun's steps."""
        grid = grids.build({"name": "karras", "sigma_max": 4.0, "sigma_min": least})
        return Plan(samplers.build("heun"), grid(self.denoiser.process, steps), {})


def sound(total=4096, seed=0, coefficients=RESONANT):
    """A sound of that law, (1, total)."""
    power = ar_spectrum(total, coefficients)
    white = torch.randn(total, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x = torch.fft.ifft(torch.fft.fft(white) * (power * total).sqrt()).real
    return x[None].float()


def windows(kind, sigma, factor=1, samples=8, steps=14, prior=None):
    """The windows of that prior."""
    prior = prior or Prior()
    return Windows(prior, prior.plan(steps), kind, sigma, factor, samples)


def joined(pieces):
    """Mean (channels, n) and draws of all pieces."""
    means, draws = zip(*pieces, strict=True)
    return torch.cat(means, -1), torch.cat(draws, -1)


def blocks(y, size=700):
    """A sound in blocks."""
    return [np.asarray(part) for part in torch.split(y, size, 1)]
