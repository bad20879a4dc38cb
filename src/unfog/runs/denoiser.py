"""``unfog.Denoiser``: any network as a denoiser with its loss, for a training loop of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Conditioner, Context
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import labels
from unfog.core.prediction import Prediction, predictions
from unfog.core.process import Process, processes
from unfog.core.random import normal_like
from unfog.errors import InputError
from unfog.runs.conventions import conventions
from unfog.training.objectives.denoising import noised
from unfog.training.objectives.losses import Denoising, weights
from unfog.training.objectives.times import TINY
from unfog.training.objectives.times import times as distributions

Named = str | Mapping[str, Any]  # a registered name, or {"name": ..., **parameters}


class Denoiser(NetworkDenoiser):
    """A network as a denoiser E[x_0 | x_t], with the loss that trains it:

        x_t = alpha(t) x_0 + sigma(t) n,      t ~ ``times``,   n ~ N(0, I),
        loss = w(t) mean |network's output - target|^2,

    the target being the output that stands for x_0 under the prediction.

    Args:
        network: Any ``torch.nn.Module`` called as network(x, label), or network(x, label, context);
            x (batch, channels, *space), label (batch,); it gives as many channels on the same grid.
        process: How data turn into noise: a name such as "edm", "vp-cosine", "ddpm-linear",
            "flow", or a ``Process``.
        prediction: What the network's output means: "edm", "noise", "x0", "v", "flow", "score".
        label: How the network is told the time; by convention of the process.
        times: The distribution of training times; by convention of the process.
        weight: The weight of each noise level in the loss.
        conditioner: Conditions of a network of three arguments.

    Raises:
        InputError: A name is unknown, or the network's output has another shape.
    """

    def __init__(
        self,
        network: nn.Module,
        process: Named | Process = "edm",
        prediction: Named | Prediction = "edm",
        *,
        label: Named | None = None,
        times: Named | None = None,
        weight: Named = "simple",
        conditioner: Conditioner | None = None,
    ) -> None:
        if not isinstance(process, Process):
            process = processes.build(process)
        convention = conventions(process)
        if not _takes_context(network):
            network = _WithoutContext(network)
        if not isinstance(prediction, Prediction):
            prediction = predictions.build(prediction)
        label_of_time = labels.build(convention.label if label is None else label)
        super().__init__(network, process, prediction, label_of_time, conditioner)
        self.times = distributions.build(convention.times if times is None else times)
        self.weighted_error = Denoising(weights.build(weight))

    @property
    def network_name(self) -> str:
        return type(getattr(self.network, "inner", self.network)).__name__

    def loss(
        self, x: Tensor, generator: torch.Generator | None = None, **condition: Tensor
    ) -> Tensor:
        """The denoising loss of clean data: draws times and noise, and calls the network once.

        Args:
            x: Clean data on the model's scale, about [-1, 1], (batch, channels, *space).
            generator: Draws times and noise; torch's own without.
            condition: The conditions, by the names of the conditioner.

        Returns:
            The loss of each sample, (batch,), to be averaged and differentiated.

        Raises:
            InputError: x holds values that are not finite.
        """
        if not bool(torch.isfinite(x).all()):
            raise InputError("x holds values that are not finite; mend or mask them first.")
        generator = generator or torch.default_generator
        # One offset and equal steps: every batch covers all noise levels (Kingma et al. 2021).
        offset = torch.rand((), generator=generator, dtype=torch.float64)
        u = (offset + torch.arange(len(x), dtype=torch.float64) / len(x)) % 1
        t = self.times(u.clamp(TINY, 1 - TINY), self.process).to(x.device)
        # x_t, its target, and the network's output for it.
        example = noised(self, x, t, normal_like(x, generator))
        out = self.output(example.x_t, example.t, self.conditioner(example.x_t, condition))
        return self.weighted_error(self, example, out)


class _WithoutContext(nn.Module):
    """A network of two arguments, called with three."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inner = network

    def forward(self, x: Tensor, label: Tensor, context: Context) -> Tensor:
        out: Tensor = self.inner(x, label)
        return out


def _takes_context(network: nn.Module) -> bool:
    """Whether a network's ``forward`` has a third argument, or any number of them."""
    parameters = inspect.signature(network.forward).parameters.values()
    several = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return several or sum(p.kind in places for p in parameters) > 2
