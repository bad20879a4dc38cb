"""Randomness as a pure function: every draw comes from a generator seeded by what it is for.

``generators(seed, ids)`` gives each sample its own stream, so sample 0 is the same in a batch of 1
and of 64; training seeds with (seed, step, sample), so a resumed run draws what the unbroken one
would have drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

Randomness = torch.Generator | Sequence[torch.Generator]


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed that is a stable function of ``parts``.

    >>> seed_of(0, "noise", 3) == seed_of(0, "noise", 3) != seed_of(0, "noise", 4)
    True
    """
    digest = hashlib.blake2b(
        "\x1f".join(f"{type(p).__name__}:{p}" for p in parts).encode(), digest_size=8
    ).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by ``parts``."""
    return torch.Generator().manual_seed(seed_of(*parts))


def generators(seed: int, ids: Iterable[int], stream: str = "sample") -> list[torch.Generator]:
    """One generator per sample id."""
    return [generator(seed, stream, int(i)) for i in ids]


class Mapped(Sequence[torch.Generator]):
    """Generators whose noise goes through a map: a projection onto a subspace (``core.space``)."""

    def __init__(self, inner: Randomness, map: Callable[[Tensor], Tensor]) -> None:
        self.inner, self.map = inner, map

    def __len__(self) -> int:
        return 1 if isinstance(self.inner, torch.Generator) else len(self.inner)

    def __getitem__(self, index: Any) -> Any:
        return ([self.inner] if isinstance(self.inner, torch.Generator) else self.inner)[index]


def normal(shape: Sequence[int], randomness: Randomness, like: Tensor | None = None) -> Tensor:
    """Standard normal noise, the same numbers on every device.

    Args:
        shape: (batch, channels, *space).
        randomness: One generator draws the batch in one stream; a sequence draws each sample from
            its own.
        like: Gives the noise its type and device; float32 on the CPU without.

    Returns:
        Noise of that shape, drawn on the CPU.
    """
    if isinstance(randomness, Mapped):
        return randomness.map(normal(shape, randomness.inner, like))
    dtype = torch.float32 if like is None else like.dtype
    draw = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    if isinstance(randomness, torch.Generator):
        noise = torch.randn(tuple(shape), generator=randomness, dtype=draw)
    else:
        if len(randomness) != shape[0]:
            raise ValueError(f"{len(randomness)} generators for a batch of {shape[0]}")
        noise = torch.stack(
            [torch.randn(tuple(shape[1:]), generator=g, dtype=draw) for g in randomness]
        )
    return noise if like is None else noise.to(device=like.device, dtype=dtype)


def normal_like(x: Tensor, randomness: Randomness) -> Tensor:
    """Standard normal noise shaped, typed and placed as ``x``."""
    return normal(x.shape, randomness, like=x)
