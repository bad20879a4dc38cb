"""The network while it learns: its weights, their average and the optimiser, and how a step changes them.

AdamW: Loshchilov & Hutter 2019. Weights stay in float32; ``bf16`` runs the network under autocast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.denoiser import NetworkDenoiser
from unfog.errors import InputError
from unfog.training.ema import EMA, power_ramp, warm_up
from unfog.training.settings import TrainSettings

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Step:
    """What an update came to; ``losses`` (batch,) are the samples' own."""

    loss: float
    grad_norm: float
    losses: Tensor

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class Learner:
    """Moves ``denoiser`` to ``device`` and trains it there."""

    def __init__(self, denoiser: NetworkDenoiser, settings: TrainSettings, device: torch.device) -> None:
        self.denoiser = denoiser.to(device).train()
        self.settings, self.device = settings, device
        self.named = {name: p for name, p in denoiser.named_parameters() if p.requires_grad}
        betas = (float(settings.betas[0]), float(settings.betas[1]))
        self.optimizer = torch.optim.AdamW(
            list(self.named.values()), lr=settings.lr, betas=betas, weight_decay=settings.weight_decay, fused=True
        )
        self.ema = EMA(denoiser, warm_up(settings.ema) if settings.ema_power is None else power_ramp(settings.ema, settings.ema_power))

    def update(self, objective: Callable[[], Tensor], lr: float) -> Step:
        """One step of AdamW on the mean of the ``objective``'s losses (batch,); none is taken when loss or gradient is not finite."""
        buffers = [buffer.clone() for buffer in self.denoiser.buffers()]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            losses = objective()
        loss = losses.mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        clip = math.inf if self.settings.clip is None else self.settings.clip
        norm = torch.nn.utils.clip_grad_norm_(self.named.values(), clip)
        value, size = torch.stack([loss.detach().double(), norm.double()]).tolist()  # one wait for the device
        step = Step(value, size, losses.detach())
        if step.finite:
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            self.optimizer.step()
            self.ema.update()
        else:
            for buffer, before in zip(self.denoiser.buffers(), buffers, strict=True):
                buffer.copy_(before)
        return step

    def moments(self) -> dict[str, Tensor]:
        """The optimiser's state, as ``<parameter>.exp_avg`` and so on."""
        state = self.optimizer.state
        return {f"{name}.{key}": state[p][key] for name, p in self.named.items() if p in state for key in MOMENTS}

    def load(self, weights: Mapping[str, Tensor], ema: Mapping[str, Tensor], moments: Mapping[str, Tensor], updates: int) -> None:
        """Go on from a checkpoint."""
        try:
            self.denoiser.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError("The checkpoint belongs to another network; resume with the network it was trained with.") from error
        self.ema.load(ema, updates)
        for name, p in self.named.items():
            if f"{name}.step" in moments:
                self.optimizer.state[p] = {key: moments[f"{name}.{key}"].to(self.device).clone() for key in MOMENTS}
