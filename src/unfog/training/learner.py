"""The network in training: its weights, their averages and the optimiser, and the update step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unfog.errors import InputError
from unfog.training.ema import EMA, power_function, power_ramp, warm_up
from unfog.training.objectives.losses import Losses
from unfog.training.processes import ALONE, Processes, norm_of, part
from unfog.training.settings import TrainSettings

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
HEAD = "objective."  # before the names of what the objective itself learns


@dataclass(frozen=True)
class Step:
    """The figures of one update, by its last loss: the mean loss, the norm of the gradient before
    clipping, and the loss of each sample (batch,).
    """

    loss: float
    grad_norm: float
    losses: Tensor

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are finite; otherwise the optimiser made no step."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class Learner:
    """Trains a denoiser, or an autoencoder, by AdamW (Loshchilov & Hutter 2019), with the
    averages of its weights.

    Weights stay in float32; with the precision ``bf16`` the network runs under autocast.

    Args:
        model: The network, moved to ``device`` and trained there in place.
        settings: Learning rate, decays, clipping and averages.
        device: Where it is trained.
        head: A module of the objective that learns as well, without weight decay.
        processes: Those that train together, over which losses are averaged.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: TrainSettings,
        device: torch.device,
        head: nn.Module | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.processes = processes
        self.model = model.to(device).train()
        self.head = (nn.Module() if head is None else head).to(device).train()
        self.settings, self.device = settings, device
        weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        heads = {HEAD + name: p for name, p in self.head.named_parameters()}
        self.named = {**weights, **heads}
        # The head has a learning rate of its own, and no weight decay.
        groups: list[dict[str, Any]] = [{"params": list(weights.values())}]
        if heads:
            groups.append(
                {"params": list(heads.values()), "weight_decay": 0.0, "rate": settings.head_rate}
            )
        betas = (float(settings.betas[0]), float(settings.betas[1]))
        self.optimizer = torch.optim.AdamW(
            groups, lr=settings.lr, betas=betas, weight_decay=settings.weight_decay, fused=True
        )
        # The average of the weights, and those of the post-hoc snapshots.
        self.ema = EMA(
            model,
            warm_up(settings.ema)
            if settings.ema_power is None
            else power_ramp(settings.ema, settings.ema_power),
        )
        lengths = settings.snapshot_lengths if settings.snapshot_every else ()
        self.profiles = {length: EMA(model, power_function(length)) for length in lengths}

    def update(self, objective: Callable[[], Losses], lr: float) -> Step:
        """One update: a step of AdamW on the mean of each of the objective's losses, then the
        averages.

        A loss or gradient that is not finite ends the update: no further loss is worked out, the
        averages stay, and the buffers are put back.

        Args:
            objective: Gives the losses (batch,), or an iterator of one such tensor a turn.
            lr: The learning rate of this update.

        Returns:
            The figures of the last loss.
        """
        # A forward pass may change buffers: these are put back if the update is given up.
        buffers = [buffer.clone() for buffer in self.model.buffers()]
        for losses in self._turns(objective):
            step = self._descend(losses, lr)
            if not step.finite:
                for buffer, before in zip(self.model.buffers(), buffers, strict=True):
                    buffer.copy_(before)
                return step
        for average in (self.ema, *self.profiles.values()):
            average.update()
        return step

    def _turns(self, objective: Callable[[], Losses]) -> Iterator[Tensor]:
        """The objective's losses one after the other, each computed only after the optimiser's step
        on the one before.
        """
        with self._precision():
            turns = objective()
        if isinstance(turns, Tensor):
            yield turns
            return
        while True:
            with self._precision():
                losses = next(turns, None)
            if losses is None:
                return
            yield losses

    def _precision(self) -> torch.autocast:
        """Autocast to bfloat16 where the settings say so."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"
        )

    def _descend(self, losses: Tensor, lr: float) -> Step:
        """One step of AdamW on the mean of ``losses``, the gradient's global norm clipped; none
        where loss or gradient is not finite.
        """
        loss = losses.mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        clip = math.inf if self.settings.clip is None else self.settings.clip
        norm = torch.nn.utils.clip_grad_norm_(self.named.values(), clip)
        # Both figures in one transfer, so that the device is waited for once.
        mean = self.processes.mean(loss.detach().double().clone())
        value, size = torch.stack([mean, norm_of(norm)]).tolist()
        step = Step(value, size, losses.detach())
        if step.finite:
            for group in self.optimizer.param_groups:
                group["lr"] = lr * group.get("rate", 1.0)
            self.optimizer.step()
        return step

    def training_state(self) -> dict[str, Tensor]:
        """The tensors that only training needs, by name: the optimiser's moments
        (``<parameter>.exp_avg`` and so on), the head's weights, and the power-function averages.
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
        """Restore a checkpoint.

        Args:
            weights: The network's weights by name.
            ema: Their average by name.
            state: What ``training_state`` gave.
            updates: The number of updates made.

        Raises:
            InputError: The checkpoint belongs to another network.
        """
        own = self.model.state_dict()
        weights = {name: part(v, own[name]) if name in own else v for name, v in weights.items()}
        try:
            self.model.load_state_dict(weights)
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
        # The averages.
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
        # The optimiser's moments; a parameter that has had no gradient yet has none.
        for name, p in self.named.items():
            if f"{name}.step" in state:
                moments = {key: state[f"{name}.{key}"].to(self.device).clone() for key in MOMENTS}
                self.optimizer.state[p] = {
                    key: value if key == "step" else part(value, p)
                    for key, value in moments.items()
                }


def _profile(length: float) -> str:
    """The prefix of a power-function average's names in a checkpoint."""
    return f"average-{length:g}."
