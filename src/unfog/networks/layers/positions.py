"""How the tokens of a transformer are told their places on a grid: ``positions`` by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.networks.layers.embedding import sinusoids

Rotation = Callable[[Tensor], Tensor]  # of queries or keys, (batch, width, n)


class Positions:
    """The base of positions: tokens are told nothing.

    Args:
        width: numbers of a token.
        heads: attention heads, each of width / heads channels.
        dims: axes of the grid.
    """

    def __init__(self, width: int, heads: int, dims: int) -> None:
        self.width, self.heads, self.dims = width, heads, dims

    def added(self, h: Tensor, grid: Sequence[int]) -> Tensor:
        """Tokens (batch, n, width) of a grid of n places, with what is added ahead of the
        blocks.
        """
        return h

    def rotation(self, grid: Sequence[int], device: torch.device) -> Rotation:
        """What is done to queries and keys, (batch, width, n), in every attention."""
        return unchanged


positions: Registry[Positions] = Registry("positions")


def unchanged(q: Tensor) -> Tensor:
    """No rotation, of queries or keys (batch, width, n)."""
    return q


def _places(grid: Sequence[int], device: torch.device) -> list[Tensor]:
    """The index of each of n places along each axis of a grid, (n,) an axis."""
    lines = [torch.arange(size, dtype=torch.float32, device=device) for size in grid]
    return [place.flatten() for place in torch.meshgrid(*lines, indexing="ij")]


@positions.register("sinusoidal")
class Sinusoidal(Positions):
    """Fixed sines and cosines added to the tokens, as in DiT (Peebles & Xie 2023): each of d axes,
    the last first, has width / d channels,

        [sin(p w_k), cos(p w_k)],   w_k = 10000^(-k / K),   k = 0 .. K - 1,   K = width / (2 d),

    of the place p, counted in patches. Channels that are left over get zeros.

    Args:
        width: numbers of a token.
        heads: attention heads; of no account here.
        dims: axes of the grid.
        extent: patches along an axis, to which every grid's places are stretched; None leaves them
            0, 1, 2, ...
    """

    def __init__(self, width: int, heads: int, dims: int, extent: int | None = None) -> None:
        super().__init__(width, heads, dims)
        self.size, self.extent = width // (2 * dims) * 2, extent
        if self.size < 2:
            raise InputError(f"Sinusoidal positions on {dims} axes need a width of {2 * dims}.")
        if extent is not None and extent < 1:
            raise InputError(f"The extent of positions is at least 1, not {extent}.")

    def added(self, h: Tensor, grid: Sequence[int]) -> Tensor:
        return h + self.table(grid, h.device).to(h.dtype)

    def table(self, grid: Sequence[int], device: torch.device) -> Tensor:
        """What is added to each of n tokens, (n, width)."""
        scales = [1.0 if self.extent is None else self.extent / size for size in grid]
        waves = [
            sinusoids(scale * place, self.size, shift=0.0)
            for scale, place in zip(scales, _places(grid, device), strict=True)
        ]
        table = torch.cat(waves[::-1], 1)
        return torch.nn.functional.pad(table, (0, self.width - table.shape[1]))


@positions.register("rotary")
class Rotary(Positions):
    """Rotary positions along each axis (Su et al. 2021, arXiv:2104.09864; Heo et al. 2024,
    arXiv:2403.13298): pairs of a head's channels are turned by angles p w_k in queries and keys, so
    that their product depends on differences of places alone,

        w_k = base^(-k / K),   k = 0 .. K - 1,   K = channels of a head / (2 d) for each of d axes.

    Channels that are left over are not turned.

    Args:
        width: numbers of a token.
        heads: attention heads, each of width / heads channels.
        dims: axes of the grid.
        base: the slowest wave is about 2 pi ``base`` patches long.
    """

    def __init__(self, width: int, heads: int, dims: int, base: float = 100.0) -> None:
        super().__init__(width, heads, dims)
        self.count, self.base = width // heads // (2 * dims), base
        if self.count < 1:
            raise InputError(
                f"Rotary positions on {dims} axes need heads of {2 * dims} channels, got "
                f"{width // heads}."
            )

    def rotation(self, grid: Sequence[int], device: torch.device) -> Rotation:
        k = torch.arange(self.count, dtype=torch.float32, device=device)
        waves = self.base ** (-k / self.count)
        # Angles (pairs, n): an axis after another.
        angle = torch.cat([waves[:, None] * place for place in _places(grid, device)])
        cos, sin, pairs = angle.cos(), angle.sin(), len(angle)

        def rotate(q: Tensor) -> Tensor:
            split = q.reshape(len(q), self.heads, -1, q.shape[-1])
            a, b, rest = (
                split[:, :, :pairs],
                split[:, :, pairs : 2 * pairs],
                split[:, :, 2 * pairs :],
            )
            c, s = cos.to(q.dtype), sin.to(q.dtype)
            return torch.cat([a * c - b * s, a * s + b * c, rest], 2).reshape(q.shape)

        return rotate
