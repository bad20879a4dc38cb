r"""The space that states live in, and how noise is drawn on it.

An image may take any value. The atoms of a molecule have no place of their own, so their states
have a mean of zero; sequences of different lengths are padded to one, and nothing lives in the
padding. Each is a linear subspace with an orthogonal projection P, and its standard normal noise is
P n with n standard normal. Since x_t = alpha x_0 + sigma P n stays in the subspace, every process,
sampler and loss holds there unchanged: only what draws noise, and what a network gives, is
projected.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unfog.core.random import Mapped, Randomness, normal
from unfog.core.registry import Registry
from unfog.core.shapes import sum_per_sample

spaces: Registry[Space] = Registry("space")


@dataclass(frozen=True)
class Space(ABC):
    """A linear subspace of states (batch, channels, *space).

    Args:
        mask: True where a sample has entries, (batch, 1, *space) or what broadcasts to it; None
            where all samples fill the whole of it.
    """

    mask: Tensor | None = None

    def within(self, mask: Tensor | None) -> Space:
        """The space of a batch whose samples fill ``mask`` alone."""
        return replace(self, mask=mask)

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """The nearest state of the subspace, (batch, channels, *space)."""

    @abstractmethod
    def dimensions(self, shape: Sequence[int]) -> Tensor:
        """How many numbers of a sample are free, (batch,) float64, for states of this shape."""

    def noise(
        self, shape: Sequence[int], randomness: Randomness, like: Tensor | None = None
    ) -> Tensor:
        """Standard normal noise on the subspace.

        Args:
            shape: (batch, channels, *space).
            randomness: One generator, or one for each sample.
            like: Gives the noise its type and device.

        Returns:
            Noise of that shape.
        """
        return self.project(normal(shape, randomness, like))

    def on(self, randomness: Randomness) -> Randomness:
        """The randomness with which samplers, which know no space, draw noise on this one."""
        return Mapped(randomness, self.project)

    def _present(self, x: Tensor) -> Tensor:
        """1 where a sample has entries, (batch, 1, *space)."""
        if self.mask is None:
            return torch.ones_like(x[:, :1])
        return self.mask.to(x).expand_as(x[:, :1])


@spaces.register("plain")
@dataclass(frozen=True)
class Plain(Space):
    """All states: images, volumes, series."""

    def project(self, x: Tensor) -> Tensor:
        return x

    def dimensions(self, shape: Sequence[int]) -> Tensor:
        count = torch.tensor(shape[1:], dtype=torch.float64).prod()
        return count.expand(shape[0])

    def on(self, randomness: Randomness) -> Randomness:
        return randomness

    def within(self, mask: Tensor | None) -> Space:
        return self  # a mask in the data is a condition like any other


@spaces.register("masked")
@dataclass(frozen=True)
class Masked(Space):
    """Samples of different lengths, padded to one: zero outside ``mask``."""

    def project(self, x: Tensor) -> Tensor:
        return x * self._present(x)

    def dimensions(self, shape: Sequence[int]) -> Tensor:
        return shape[1] * sum_per_sample(
            self._present(torch.zeros(tuple(shape), dtype=torch.float64))
        )


@spaces.register("zero-centre")
@dataclass(frozen=True)
class ZeroCentre(Space):
    """Points (batch, axes, points) whose mean is zero, and zero outside ``mask``.

        P x = m (x - sum(m x) / sum(m)),     m the mask

    (Koehler, Klein & Noe 2020; Hoogeboom et al. 2022): (points - 1) numbers an axis are free.
    """

    def project(self, x: Tensor) -> Tensor:
        present = self._present(x)
        axes = tuple(range(2, x.ndim))
        count = present.sum(axes, keepdim=True).clamp(min=1)
        return present * (x - (present * x).sum(axes, keepdim=True) / count)

    def dimensions(self, shape: Sequence[int]) -> Tensor:
        present = self._present(torch.zeros(tuple(shape), dtype=torch.float64))
        return shape[1] * (sum_per_sample(present) - 1).clamp(min=0)


@spaces.register("split")
@dataclass(frozen=True)
class Split(Space):
    """Channels in groups, each group in a space of its own: of atoms, places without a centre of
    mass beside features that only padding bounds.

    Args:
        parts: Of each group a space's registry config with its ``channels``.
    """

    parts: Sequence[Mapping[str, Any]] = ()

    def project(self, x: Tensor) -> Tensor:
        sizes, rooms = self._groups()
        groups = zip(rooms, torch.split(x, sizes, 1), strict=True)
        return torch.cat([room.project(group) for room, group in groups], 1)

    def dimensions(self, shape: Sequence[int]) -> Tensor:
        sizes, rooms = self._groups()
        counts = [
            room.dimensions((shape[0], size, *shape[2:]))
            for room, size in zip(rooms, sizes, strict=True)
        ]
        return torch.stack(counts).sum(0)

    def _groups(self) -> tuple[list[int], list[Space]]:
        """The channels of each group, and its space with this one's mask."""
        sizes = [int(part["channels"]) for part in self.parts]
        configs = [{k: v for k, v in part.items() if k != "channels"} for part in self.parts]
        return sizes, [spaces.build(config).within(self.mask) for config in configs]


PLAIN = Plain()
