r"""Denoisers: E[x_0 | x_t] as a function of x_t and t, and a network as such a function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Conditioner, Context
from unfog.core.label import Label
from unfog.core.prediction import Prediction
from unfog.core.process import REMEMBERED, Process
from unfog.core.shapes import Number, blend, expand
from unfog.core.variance import LearnedRange
from unfog.errors import InputError


@dataclass(frozen=True)
class Posterior:
    """The first two moments of p(x_0 | x_t).

    Args:
        mean: E[x_0 | x_t], (batch, channels, *space).
        variance: Var(x_0 | x_t) of each value, of a shape that broadcasts to the mean; None where
            it is not known.
    """

    mean: Tensor
    variance: Tensor | None = None


Product = Callable[[Tensor], Tensor]  # v -> C v for a symmetric C, (batch, channels, *space) both


class Denoiser(nn.Module, ABC):
    """The posterior mean of x_0 given x_t, D(x_t, t) = E[x_0 | x_t], and its variance where known.

    Noise, score and covariance are functions of it (Tweedie: Robbins 1956, Efron 2011):

        noise = (x_t - alpha D) / sigma,     score = -noise / sigma,     v = alpha noise - sigma D,
        Cov(x_0 | x_t) = (sigma^2 / alpha) J,     J the Jacobian of D in x_t.

    Samplers call it once or more a step; guidance and restoration map a Denoiser to a Denoiser.
    """

    process: Process

    @abstractmethod
    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        """Mean and variance of x_0 given x_t.

        Args:
            x_t: The state, (batch, channels, *space).
            t: Its time, a scalar or (batch,), float64.
            condition: The conditions, by name.

        Returns:
            The posterior.
        """

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) at t, float64."""
        return self.process.alpha(t), self.process.sigma(t)

    def noise(self, x_t: Tensor, t: Tensor, **condition: Any) -> Tensor:
        """The expected noise, (x_t - alpha D) / sigma, shaped as x_t."""
        alpha, sigma = self.scales(t)
        x0: Tensor = self(x_t, t, **condition).mean
        return (x_t - expand(alpha, x_t) * x0) / expand(sigma, x_t)

    def score(self, x_t: Tensor, t: Tensor, **condition: Any) -> Tensor:
        """The score, grad log p(x_t) = -noise / sigma, shaped as x_t."""
        return -self.noise(x_t, t, **condition) / expand(self.process.sigma(t), x_t)

    def with_covariance(self, x_t: Tensor, t: Tensor, **condition: Any) -> tuple[Tensor, Product]:
        """The posterior mean, and the product v -> Cov(x_0 | x_t) v by Tweedie's second formula:
        one network call, and a vector-Jacobian product for each v.
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
        # Cov(x_0 | x_t) = (sigma^2 / alpha) J, and J is symmetric.
        gain = expand(sigma**2 / alpha, x_t)

        def covariance(v: Tensor) -> Tensor:
            (product,) = torch.autograd.grad(mean, x, v, retain_graph=True)
            return gain * product

        return mean.detach(), covariance


class InBfloat16(Denoiser):
    """A denoiser with its network in bfloat16 (autocast): several times faster on a CPU that has
    it. x_t keeps its own type.

    Args:
        denoiser: The denoiser, whose weights stay as they are.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        with torch.autocast(x_t.device.type, torch.bfloat16):
            posterior: Posterior = self.denoiser(x_t, t, **condition)
        return posterior


@dataclass(frozen=True)
class Preconditioning:
    """What stands around a network: x_0 = a out + b x_t, out = network(c_in x_t, label).

    Args:
        label: What it is told of the time, (batch,) or (1,), float32.
        c_in: The factor on x_t, a float or (batch or 1, channels).
        a: The output's weight, as c_in.
        b: That of x_t.
    """

    label: Tensor
    c_in: Number
    a: Number
    b: Number


class NetworkDenoiser(Denoiser):
    """A network as a denoiser (Karras et al. 2022, eq. 7, for any prediction):

        D(x_t, t) = a(t) out + b(t) x_t,     out = network(c_in(t) x_t, label(t), context).

    Args:
        network: Called as network(x, label, context), x (batch, channels, *space), label (batch,).
        process: Makes x_t of x_0 and noise.
        prediction: What the output means: its a, b and c_in.
        label: How the network is told the time.
        conditioner: Its conditions, if any.
        variance: How the second half of the network's channels gives a learned variance; None
            where the network gives the mean alone.

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
        self._remembered: dict[float, Preconditioning] = {}
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
        """The network's raw output, whose error a training loss measures.

        Args:
            x_t: The state, (batch, channels, *space).
            t: Its time, a scalar or (batch,), float64.
            context: The embedded conditions.

        Returns:
            (batch, channels, *space), or twice the channels where the variance is learned.

        Raises:
            InputError: The network's output has another shape.
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
        """The network's inner feature maps, on which a discriminator works.

        Args:
            x_t: The state, (batch, channels, *space).
            t: Its time, a scalar or (batch,), float64.
            context: The embedded conditions.

        Returns:
            Maps (batch, channels of the map, *space of the map).

        Raises:
            InputError: The network has no method ``features``.
        """
        features: Any = getattr(self.network, "features", None)
        if features is None:
            raise InputError(
                f"The network {type(self.network).__name__} has no features to show; a U-Net "
                "and a DiT have."
            )
        maps: list[Tensor] = features(*self._inputs(x_t, t), context)
        return maps

    def _inputs(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The network's inputs: c_in x_t, and the label in float32."""
        told = self.preconditioning(t)
        unscaled = isinstance(told.c_in, float) and told.c_in == 1
        scaled = x_t if unscaled else expand(told.c_in, x_t) * x_t
        return scaled, told.label.to(x_t.device).expand(len(x_t))

    def preconditioning(self, t: Tensor) -> Preconditioning:
        """What stands around the network at times (batch,), or at one, which is remembered."""
        if t.ndim:
            return self._preconditioning(t.to(torch.float64))
        time = float(t)
        if time not in self._remembered:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            found = self._preconditioning(torch.tensor([time], dtype=torch.float64))
            numbers = map(_number, (found.c_in, found.a, found.b))
            self._remembered[time] = Preconditioning(found.label, *numbers)
        return self._remembered[time]

    def _preconditioning(self, t: Tensor) -> Preconditioning:
        alpha, sigma = self.scales(t)
        a, b = self.prediction.rule(alpha, sigma)
        c_in = self.prediction.input_scale(alpha, sigma)
        return Preconditioning(self.label(self.process, t).float(), c_in, a, b)

    def posterior(self, out: Tensor, x_t: Tensor, t: Tensor) -> Posterior:
        """Mean and variance of x_0 by a raw output of the network.

        Args:
            out: The raw output, as ``output`` gives it.
            x_t: The state, (batch, channels, *space).
            t: Its time, a scalar or (batch,), float64.

        Returns:
            The posterior; a learned variance is below zero where the network leaves its range
            (v < -1).
        """
        out, v = self.halves(out)
        told = self.preconditioning(t)
        mean = blend(told.a, out, told.b, x_t)
        if v is None or self.variance is None:
            return Posterior(mean)
        times = t.to(torch.float64).expand(len(x_t))
        return Posterior(mean, self.variance.to_variance(v, self.process, times))

    def halves(self, out: Tensor) -> tuple[Tensor, Tensor | None]:
        """The parts of a raw output: the prediction, and v where the variance is learned, each
        (batch, channels, *space).
        """
        if self.variance is None:
            return out, None
        first, second = out.chunk(2, 1)
        return first, second

    def forward(
        self, x_t: Tensor, t: Tensor, *, keep: Mapping[str, Tensor] | None = None, **condition: Any
    ) -> Posterior:
        """As of any denoiser; ``keep`` holds booleans (batch,) by the name of a condition, False
        where a given condition is hidden, as training does.
        """
        context = self.conditioner(x_t, condition, keep)
        out = self.output(x_t, t, context).to(x_t.dtype)
        posterior = self.posterior(out, x_t, t)
        if posterior.variance is None:
            return posterior
        return Posterior(posterior.mean, posterior.variance.clamp(min=0))


def _number(value: Number) -> Number:
    """One number of a tensor (1,) as a float; several, (1, channels), as they are."""
    return float(value) if isinstance(value, Tensor) and value.numel() == 1 else value
