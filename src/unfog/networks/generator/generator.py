"""What a generator is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from unfog.core.registry import Registry

generators: Registry[Generator] = Registry("generator")


class Generator(nn.Module):
    """A network that draws samples in one call.

    Attributes:
        shape: Of a sample on the model's scale, (channels, *space).
        classes: How many it knows; 0 for none.
    """

    shape: tuple[int, ...]
    classes: int = 0

    @abstractmethod
    def draw(self, randomness: Sequence[torch.Generator], label: Tensor | None = None) -> Tensor:
        """A sample of each generator of random numbers.

        Args:
            randomness: One for each sample.
            label: The class of each, (batch,); drawn evenly where it is not given.

        Returns:
            (batch, channels, *space), on the model's scale and differentiable in the weights.
        """

    def labels(self, randomness: Sequence[torch.Generator], label: Tensor | None) -> Tensor | None:
        """The class of each sample, (batch,): as given, or drawn evenly; None without classes."""
        if label is not None or not self.classes:
            return label
        return torch.cat([torch.randint(self.classes, (1,), generator=g) for g in randomness])


def joined(z: Tensor, label: Tensor | None, classes: int) -> Tensor:
    """Vectors and, where there are classes, theirs as one-hot rows, (batch, numbers + classes)."""
    if not classes:
        return z
    assert label is not None
    return torch.cat([z, one_hot(label.long(), classes).to(z)], 1)
