r"""The denoiser: given x_t, the posterior mean of x_0 (and, where known, its variance).

Everything else is a function of it (Tweedie: Robbins 1956, Efron 2011):

    noise = (x_t - alpha x_0) / sigma,     score = -noise / sigma,     v = alpha noise - sigma x_0,

and, by its Jacobian J in x_t, Cov(x_0 | x_t) = (sigma^2 / alpha) J.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Conditioner, Context
from unfog.core.prediction import Prediction
from unfog.core.process import Process
from unfog.core.registry import Registry
from unfog.core.shapes import expand
from unfog.core.variance import LearnedRange
from unfog.errors import InputError


@dataclass(frozen=True)
class Posterior:
    """p(x_0 | x_t), summarised: mean (batch, channels, *space), and a variance that broadcasts to
    it.
    """

    mean: Tensor
    variance: Tensor | None = None


Product = Callable[[Tensor], Tensor]  # v -> C v for a symmetric C, (batch, channels, *space) both


class Denoiser(nn.Module, ABC):
    """Maps (x_t, t) to a ``Posterior``; guidance and restoration map a Denoiser to a Denoiser."""

    process: Process

    @abstractmethod
    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        """``x_t`` (batch, channels, *space), ``t`` a float64 scalar or (batch,)."""

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) at t, float64."""
        return self.process.alpha(t), self.process.sigma(t)

    def noise(self, x_t: Tensor, t: Tensor, **condition: Any) -> Tensor:
        """The predicted noise, (x_t - alpha x_0) / sigma."""
        alpha, sigma = self.scales(t)
        x0: Tensor = self(x_t, t, **condition).mean
        return (x_t - expand(alpha, x_t) * x0) / expand(sigma, x_t)

    def score(self, x_t: Tensor, t: Tensor, **condition: Any) -> Tensor:
        """grad log p(x_t), -noise / sigma."""
        return -self.noise(x_t, t, **condition) / expand(self.process.sigma(t), x_t)

    def with_covariance(self, x_t: Tensor, t: Tensor, **condition: Any) -> tuple[Tensor, Product]:
        """The posterior mean, and v -> Cov(x_0 | x_t) v: one call, and a vector-Jacobian product
        for each v.
        """
        alpha, sigma = self.scales(t)
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            mean: Tensor = self(x, t, **condition).mean
        if not mean.requires_grad:
            raise InputError(
                "The posterior covariance needs a denoiser with a gradient, and "
                f"{type(self).__name__} gives none here."
            )
        gain = expand(sigma**2 / alpha, x_t)

        def covariance(v: Tensor) -> Tensor:
            (product,) = torch.autograd.grad(mean, x, v, retain_graph=True)
            return gain * product

        return mean.detach(), covariance


class InBfloat16(Denoiser):
    """Another denoiser with its network in bfloat16 (autocast): several times faster on a CPU that
    has it; x_t keeps its own type.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        with torch.autocast(x_t.device.type, torch.bfloat16):
            posterior: Posterior = self.denoiser(x_t, t, **condition)
        return posterior


Label = Callable[[Process, Tensor], Tensor]
labels: Registry[Label] = Registry("label")


@labels.register("time")
def time_label(steps: float = 1000.0, offset: float = 1.0) -> Label:
    """The discrete index n of DDPM networks: t = (n + 1) / steps."""
    return lambda process, t: t * steps - offset


@labels.register("log-sigma")
def log_sigma_label(scale: float = 0.25, sigma_min: float = 1e-5) -> Label:
    """EDM's label, log(sigma / alpha) / 4."""
    return lambda process, t: scale * process.noise_level(t).clamp(min=sigma_min).log()


class NetworkDenoiser(Denoiser):
    """A network as a denoiser: x_0 = a(t) out + b(t) x_t, out = network(c_in(t) x_t, label, ...).

    Args:
        network: Called as network(x, label, context), x (batch, channels, *space), label (batch,).
        process: Makes x_t of x_0 and noise.
        prediction: What the output means: its a, b and c_in.
        label: How the network is told the time.
        conditioner: Its conditions, if any.
        variance: How the second half of twice the channels is read as a learned variance, if it
            is.

    Raises:
        InputError: The prediction does not determine x_0 at t = 1.
    """

    def __init__(
        self,
        network: nn.Module,
        process: Process,
        prediction: Prediction,
        label: Label,
        conditioner: Conditioner | None = None,
        variance: LearnedRange | None = None,
    ) -> None:
        super().__init__()
        self.network, self.conditioner = network, conditioner or Conditioner()
        self.process, self.prediction = process, prediction
        self.label, self.variance = label, variance
        noisiest = self.scales(torch.ones((), dtype=torch.float64))
        if not all(bool(c.isfinite().all()) for c in prediction.rule(*noisiest)):
            raise InputError(
                f"{type(prediction).__name__} prediction needs some signal at t = 1, where this "
                "process has none (alpha = 0), so x_0 could not be found from it; predict v, x0 or "
                "flow."
            )

    @property
    def network_name(self) -> str:
        """What the network is called in messages."""
        return type(self.network).__name__

    def output(self, x_t: Tensor, t: Tensor, context: Context) -> Tensor:
        """The network's raw output: the thing that training holds to its target.

        Args:
            x_t: The state, (batch, channels, *space).
            t: Its time, a scalar or (batch,), float64.
            context: What the network is told besides.

        Returns:
            (batch, channels, *space), or twice the channels where the variance is learned.
        """
        out: Tensor = self.network(*self._inputs(x_t, t), context)
        channels = x_t.shape[1] * (1 if self.variance is None else 2)
        if out.shape != (len(x_t), channels, *x_t.shape[2:]):
            raise InputError(
                f"The network {self.network_name} gives {tuple(out.shape)} for an input "
                f"of {tuple(x_t.shape)}; let it give {channels} channels on the same grid."
            )
        return out

    def features(self, x_t: Tensor, t: Tensor, context: Context) -> list[Tensor]:
        """What the network sees in x_t, as maps; ``InputError`` where it has none to show."""
        features: Any = getattr(self.network, "features", None)
        if features is None:
            raise InputError(
                f"The network {type(self.network).__name__} has no features to show; a U-Net has."
            )
        maps: list[Tensor] = features(*self._inputs(x_t, t), context)
        return maps

    def _inputs(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x_t on the network's scale, and the noise label."""
        t = t.to(torch.float64).expand(len(x_t))
        scaled = x_t * expand(self.prediction.input_scale(*self.scales(t)), x_t)
        return scaled, self.label(self.process, t).to(device=x_t.device, dtype=torch.float32)

    def posterior(self, out: Tensor, x_t: Tensor, t: Tensor) -> Posterior:
        """What a raw output says about x_0; a learned variance is below zero where the network
        leaves its range (v < -1).
        """
        out, v = self.halves(out)
        mean = self.prediction.to_x0(out, x_t, *self.scales(t))
        return Posterior(
            mean,
            None
            if v is None or self.variance is None
            else self.variance.to_variance(v, self.process, t),
        )

    def halves(self, out: Tensor) -> tuple[Tensor, Tensor | None]:
        """A raw output as the prediction, and v where the variance is learned."""
        if self.variance is None:
            return out, None
        first, second = out.chunk(2, 1)
        return first, second

    def forward(
        self, x_t: Tensor, t: Tensor, *, keep: Mapping[str, Tensor] | None = None, **condition: Any
    ) -> Posterior:
        """As any denoiser; ``keep`` (batch,) by name is False where a condition that is given is
        hidden, as training does.
        """
        t = t.to(torch.float64).expand(len(x_t))
        found = self.posterior(
            self.output(x_t, t, self.conditioner(x_t, condition, keep)).to(x_t.dtype), x_t, t
        )
        return Posterior(
            found.mean, None if found.variance is None else found.variance.clamp(min=0)
        )
