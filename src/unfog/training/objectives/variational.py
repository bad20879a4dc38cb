"""The variational bound as a training loss, in bits per dimension: an unbiased estimate by one of
its terms (``core.bound``), whose time is drawn uniformly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unfog.core.bound import Bins, Decoder, prior_term, step_term
from unfog.core.bridge import Bridge
from unfog.core.denoiser import NetworkDenoiser, Posterior
from unfog.core.shapes import expand, sum_per_sample
from unfog.errors import InputError
from unfog.sampling.ancestral import Variance, large, posterior
from unfog.training.objectives.losses import Denoising, Example


def _bits_per_dim(denoiser: NetworkDenoiser, x_0: Tensor, terms: Tensor) -> Tensor:
    """The bound in bits per dimension, (batch,), of an estimate ``terms`` (batch,) of all its terms
    but the prior term, in nats.
    """
    prior = prior_term(denoiser.process, x_0, torch.ones((), dtype=torch.float64))
    return (prior + terms) / (x_0[0].numel() * math.log(2))


def _step_terms(
    denoiser: NetworkDenoiser,
    example: Example,
    estimate: Posterior,
    stride: float,
    variance: Variance,
    decoder: Decoder,
) -> Tensor:
    """The terms of steps from the example's times to those ``stride`` earlier, in nats, (batch,),
    float64.
    """
    t = example.t
    # The first knot's step ends exactly at 0, however t was rounded.
    s = torch.where(t <= stride * (1 + 1e-9), torch.zeros_like(t), t - stride)
    bridge, x_0 = Bridge.of(denoiser.process, t, s), example.x_0.double()
    spread = variance(bridge, estimate, example.x_t.double())
    spread = torch.as_tensor(spread).expand_as(x_0)
    return step_term(bridge, x_0, estimate.mean, spread, decoder)


@dataclass(frozen=True)
class Variational:
    """The variational bound of a table of T = ``steps`` (Ho et al. 2020, eq. 5), for uniform times
    that are its knots.

        loss = prior term + T step term(t)

    ``variance`` is that of the reverse steps and ``decoder`` the last step's.
    """

    steps: int = 1000
    variance: Variance = field(default=large)
    decoder: Decoder = field(default_factory=Bins)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"A variational bound needs at least one step, got {self.steps}.")

    def __call__(self, denoiser: NetworkDenoiser, example: Example, out: Tensor) -> Tensor:
        estimate = denoiser.posterior(out.double(), example.x_t.double(), example.t)
        terms = _step_terms(
            denoiser, example, estimate, 1 / self.steps, self.variance, self.decoder
        )
        return _bits_per_dim(denoiser, example.x_0.double(), self.steps * terms)


@dataclass(frozen=True)
class Continuous:
    """The variational bound in continuous time (Kingma et al. 2021; Song et al. 2021): the limit of
    small steps down to ``start``, for the times ``floored`` there.

        loss = prior term + g^2 / (2 sigma^2) |noise error|^2    where t > start,
        loss = prior term + step term(start -> 0) / start        where t = start,

    because uniform times floored at ``start`` are there with probability ``start``. ``variance``
    and ``decoder`` are those of the last step, from ``start`` to clean data.
    """

    start: float = 1e-3
    variance: Variance = field(default=large)
    decoder: Decoder = field(default_factory=Bins)

    def __post_init__(self) -> None:
        if not 0 < self.start < 1:
            raise InputError(
                f"A variational bound in continuous time needs 0 < start < 1, got {self.start}."
            )

    def __call__(self, denoiser: NetworkDenoiser, example: Example, out: Tensor) -> Tensor:
        process, t, x_0 = denoiser.process, example.t, example.x_0.double()
        estimate = denoiser.posterior(out.double(), example.x_t.double(), t)
        # The last step, counted 1 / its probability.
        last = (
            _step_terms(denoiser, example, estimate, self.start, self.variance, self.decoder)
            / self.start
        )
        # g^2 / (2 sigma^2) on the error of the noise, which is alpha / sigma times that of x_0.
        rate = 0.5 * process.diffusion(t) * (process.alpha(t) / process.sigma(t) ** 2) ** 2
        above = sum_per_sample(expand(rate, x_0) * (x_0 - estimate.mean) ** 2)
        terms = torch.where((t <= self.start).to(last.device), last, above)
        return _bits_per_dim(denoiser, x_0, terms)


@dataclass(frozen=True)
class Hybrid:
    """The hybrid loss of a learned variance (Nichol & Dhariwal 2021, eq. 16).

        loss = simple + scale bound(stop-gradient(mean), variance)

    The mean is learned by the simple loss, and by the bound the variance alone.
    """

    simple: Denoising = field(default_factory=Denoising)
    bound: Variational = field(default_factory=lambda: Variational(variance=posterior))
    scale: float = 0.001

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise InputError(f"The hybrid loss needs a scale above 0, got {self.scale}.")

    def __call__(self, denoiser: NetworkDenoiser, example: Example, out: Tensor) -> Tensor:
        mean, v = denoiser.halves(out)
        if v is None:
            raise InputError(
                "The hybrid objective needs a learned variance; give the config a 'variance', "
                "such as {name: learned-range}."
            )
        simple = self.simple(denoiser, example, out)
        return simple + self.scale * self.bound(
            denoiser, example, torch.cat([mean.detach(), v], 1)
        ).to(simple)
