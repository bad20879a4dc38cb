"""What a generator is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unfog.core.registry import Registry

generators: Registry[Generator] = Registry("generator")


class Generator(nn.Module):
    """A network that draws samples in one call.

    Attributes:
        shape: Of a sample on the model's scale, (channels, *space).
    """

    shape: tuple[int, ...]

    @abstractmethod
    def draw(self, randomness: Sequence[torch.Generator]) -> Tensor:
        """A sample of each generator of random numbers, (batch, channels, *space); on the model's
        scale, and differentiable in the weights.
        """
