"""Random numbers from generators that are seeded by what is drawn, such as (seed, sample).

With ``generators(seed, ids)`` each sample has a stream of its own, so sample 0 is the same in a
batch of 1 and of 64. Training seeds with (seed, step, sample), so a resumed run draws the numbers
that the unbroken run would have drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

Randomness = torch.Generator | Sequence[torch.Generator]  # one of a batch, or one a sample


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed, a hash of ``parts`` and their types: the same on every machine.

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
    """One generator for each sample.

    Args:
        seed: The user's seed.
        ids: The samples' numbers.
        stream: What is drawn; streams of other names are independent.

    Returns:
        CPU generators, in the order of ``ids``.
    """
    return [generator(seed, stream, int(i)) for i in ids]


class Mapped(Sequence[torch.Generator]):
    """Generators whose noise ``normal`` passes through a map, such as the projection onto a
    subspace (``core.space``).

    Args:
        inner: The generators, or one of a batch.
        map: From noise to noise, (batch, channels, *space) both.
    """

    def __init__(self, inner: Randomness, map: Callable[[Tensor], Tensor]) -> None:
        self.inner, self.map = inner, map

    def __len__(self) -> int:
        return 1 if isinstance(self.inner, torch.Generator) else len(self.inner)

    def __getitem__(self, index: Any) -> Any:
        generators = [self.inner] if isinstance(self.inner, torch.Generator) else self.inner
        return generators[index]


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
    # Types of less than 32 bits are rounded from float32 draws.
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
