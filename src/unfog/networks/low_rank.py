"""A frozen network some of whose matrices learn a change of low rank (LoRA, Hu et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from unfog.errors import InputError


class LowRankNetwork(nn.Module):
    """A network whose matrices W are W + (alpha / rank) up down, of which up and down learn, and
    which begins as the network: down is random, up is zero.

    The network itself is no part of the module's parameters and state, so that training, averages
    and checkpoints are of the change alone.

    Args:
        network: Called as network(x, label, context); frozen, in evaluation.
        pieces: By the name of a weight (out, in): the names of its changes, one, or several for
            rows of as many that stand on one another, such as queries, keys and values.
        rank: Of each change.
        alpha: Over the rank, the factor on it.
        generator: Draws the downs.

    Raises:
        InputError: The rank is below 1, or there is nothing to change.
    """

    frozen: nn.Module

    def __init__(
        self,
        network: nn.Module,
        pieces: Mapping[str, Sequence[str]],
        rank: int,
        alpha: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if rank < 1 or not pieces:
            raise InputError(f"A LoRA has a rank of 1 or more, and matrices to change; got {rank}.")
        object.__setattr__(self, "frozen", network)
        self.pieces, self.scale = {key: list(names) for key, names in pieces.items()}, alpha / rank
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for key, names in self.pieces.items():
            out, width = network.get_parameter(key).shape
            for name in names:
                # As torch begins a linear layer.
                down = torch.empty(rank, width)
                nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
                self.down[_flat(name)] = nn.Parameter(down)
                self.up[_flat(name)] = nn.Parameter(torch.zeros(out // len(names), rank))

    def forward(self, x: Tensor, label: Tensor, context: Any) -> Tensor:
        out: Tensor = functional_call(self.frozen, self.weights(), (x, label, context))
        return out

    def weights(self) -> dict[str, Tensor]:
        """The changed matrices, by name."""
        changed = {}
        for key, names in self.pieces.items():
            flat = [_flat(name) for name in names]
            change = torch.cat([self.up[name] @ self.down[name] for name in flat])
            changed[key] = self.frozen.get_parameter(key) + self.scale * change
        return changed

    def named(self, state: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        """The down and up of each change by its name, of a state of this module."""
        return {
            name: (state[f"down.{_flat(name)}"], state[f"up.{_flat(name)}"])
            for names in self.pieces.values()
            for name in names
        }

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> LowRankNetwork:
        # The network goes where its change goes.
        self.frozen._apply(fn)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def _flat(name: str) -> str:
    """A name without dots, which a table of parameters takes."""
    return name.replace(".", "_")
