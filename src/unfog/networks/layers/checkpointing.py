"""Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Checkpointing:
    """Calls modules; where ``on`` and a gradient is wanted, what they compute on the way is not
    kept but computed again in the backward pass: less memory for a second forward pass.
    """

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, module: nn.Module, *inputs: Any) -> Tensor:
        """The module's output, (batch, ...)."""
        out: Tensor = (
            checkpoint(module, *inputs, use_reentrant=False)
            if self.on and torch.is_grad_enabled()
            else module(*inputs)
        )
        return out
