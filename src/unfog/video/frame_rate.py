"""The condition of a frame rate, and its section in a config."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.conditioning import Context, conditions
from unfog.core.conditions import VectorCondition

NAME = "fps"
SECTION = {"name": "frame-rate"}
MIDDLE = 8.0  # frames a second that the network sees as 0


@conditions.register("frame-rate")
class FrameRate(VectorCondition):
    """Frames a second, (batch, 1), seen by the network in octaves from 8.

    Args:
        width: The size of the embedding.
        null: ``learned``, or ``zero`` for zeros.
    """

    def __init__(self, width: int, null: str = "learned") -> None:
        super().__init__(1, width, null)

    def embed(self, value: Tensor) -> Context:
        return super().embed(torch.log2(value.float().clamp(min=1e-3) / MIDDLE))
