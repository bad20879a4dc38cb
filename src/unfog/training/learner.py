"""The network while it learns: its weights, their average and the optimiser, and how a step changes
them.

AdamW: Loshchilov & Hutter 2019. Weights stay in float32; ``bf16`` runs the network under autocast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.denoiser import NetworkDenoiser
from unfog.errors import InputError
from unfog.training.ema import EMA, power_function, power_ramp, warm_up
from unfog.training.objectives.losses import Losses
from unfog.training.settings import TrainSettings

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
HEAD = "objective."  # before the names of what the objective itself learns


@dataclass(frozen=True)
class Step:
    """What an update came to, by its last loss; ``losses`` (batch,) are the samples' own."""

    loss: float
    grad_norm: float
    losses: Tensor

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class Learner:
    """Moves ``denoiser`` to ``device`` and trains it there, with the ``head`` that its objective
    may have.
    """

    def __init__(
        self,
        denoiser: NetworkDenoiser,
        settings: TrainSettings,
        device: torch.device,
        head: nn.Module | None = None,
    ) -> None:
        self.denoiser = denoiser.to(device).train()
        self.head = (nn.Module() if head is None else head).to(device).train()
        self.settings, self.device = settings, device
        own = {name: p for name, p in denoiser.named_parameters() if p.requires_grad}
        heads = {HEAD + name: p for name, p in self.head.named_parameters()}
        self.named = {**own, **heads}
        groups: list[dict[str, Any]] = [{"params": list(own.values())}]
        if heads:
            groups.append(
                {"params": list(heads.values()), "weight_decay": 0.0, "rate": settings.head_rate}
            )
        betas = (float(settings.betas[0]), float(settings.betas[1]))
        self.optimizer = torch.optim.AdamW(
            groups, lr=settings.lr, betas=betas, weight_decay=settings.weight_decay, fused=True
        )
        self.ema = EMA(
            denoiser,
            warm_up(settings.ema)
            if settings.ema_power is None
            else power_ramp(settings.ema, settings.ema_power),
        )
        lengths = settings.snapshot_lengths if settings.snapshot_every else ()
        self.profiles = {length: EMA(denoiser, power_function(length)) for length in lengths}

    def update(self, objective: Callable[[], Losses], lr: float) -> Step:
        """A step of AdamW on the mean of each of the ``objective``'s losses (batch,); the first
        that is not finite ends them.
        """
        buffers = [buffer.clone() for buffer in self.denoiser.buffers()]
        for losses in self._turns(objective):
            step = self._descend(losses, lr)
            if not step.finite:
                for buffer, before in zip(self.denoiser.buffers(), buffers, strict=True):
                    buffer.copy_(before)
                return step
        for average in (self.ema, *self.profiles.values()):
            average.update()
        return step

    def _turns(self, objective: Callable[[], Losses]) -> Iterator[Tensor]:
        """The losses one after the other, each worked out once the step on the one before has been
        taken.
        """
        with self._precision():
            given = objective()
        if isinstance(given, Tensor):
            yield given
            return
        while True:
            with self._precision():
                losses = next(given, None)
            if losses is None:
                return
            yield losses

    def _precision(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"
        )

    def _descend(self, losses: Tensor, lr: float) -> Step:
        loss = losses.mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        clip = math.inf if self.settings.clip is None else self.settings.clip
        norm = torch.nn.utils.clip_grad_norm_(self.named.values(), clip)
        value, size = torch.stack(
            [loss.detach().double(), norm.double()]
        ).tolist()  # one wait for the device
        step = Step(value, size, losses.detach())
        if step.finite:
            for group in self.optimizer.param_groups:
                group["lr"] = lr * group.get("rate", 1.0)
            self.optimizer.step()
        return step

    def training_state(self) -> dict[str, Tensor]:
        """What only training needs: ``<parameter>.exp_avg`` and so on of the optimiser, the head's
        weights, and the power averages.
        """
        state = self.optimizer.state
        moments = {
            f"{name}.{key}": state[p][key]
            for name, p in self.named.items()
            if p in state
            for key in MOMENTS
        }
        head = {HEAD + name: value for name, value in self.head.state_dict().items()}
        profiles = {
            _profile(length) + name: value
            for length, ema in self.profiles.items()
            for name, value in ema.state_dict().items()
        }
        return {**moments, **head, **profiles}

    def load(
        self,
        weights: Mapping[str, Tensor],
        ema: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        updates: int,
    ) -> None:
        """Go on from a checkpoint."""
        try:
            self.denoiser.load_state_dict(weights)
            self.head.load_state_dict(
                {
                    name: state[HEAD + name]
                    for name in self.head.state_dict()
                    if HEAD + name in state
                }
            )
        except RuntimeError as error:
            raise InputError(
                "The checkpoint belongs to another network; resume with the network it was "
                "trained with."
            ) from error
        self.ema.load(ema, updates)
        for length, average in self.profiles.items():
            start = _profile(length)
            average.load(
                {
                    name.removeprefix(start): value
                    for name, value in state.items()
                    if name.startswith(start)
                },
                updates,
            )
        for name, p in self.named.items():
            if f"{name}.step" in state:
                self.optimizer.state[p] = {
                    key: state[f"{name}.{key}"].to(self.device).clone() for key in MOMENTS
                }


def _profile(length: float) -> str:
    return f"average-{length:g}."
