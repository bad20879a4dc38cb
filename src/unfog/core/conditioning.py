"""Conditioning: the embeddings of named conditions, with the null of classifier-free guidance.

A condition is a class, a vector, an image (spatial) or a token sequence. Each has a null, what the
network gets when the condition is absent: a learned embedding, or zeros. Training drops a condition
per sample at random (Ho & Salimans 2022), so the same network serves with and without it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.registry import Registry
from unfog.errors import InputError


@dataclass(frozen=True)
class Context:
    """A network's inputs besides x_t and the noise label; None where it has none of a kind."""

    vector: Tensor | None = None  # (batch, width): added to the time embedding
    spatial: Tensor | None = None  # (batch, channels, *space): concatenated to x_t
    tokens: Tensor | None = None  # (batch, length, width): cross-attention
    token_mask: Tensor | None = None  # (batch, length), True where a token counts

    def merge(self, other: Context) -> Context:
        """The context of both conditions: vectors are added, images and tokens concatenated."""
        vector = other.vector if self.vector is None else self.vector
        if self.vector is not None and other.vector is not None:
            vector = self.vector + other.vector
        return Context(
            vector,
            _join(self.spatial, other.spatial),
            _join(self.tokens, other.tokens),
            _join(self.token_mask, other.token_mask),
        )


def _join(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    present = [p for p in (a, b) if p is not None]
    return torch.cat(present, 1) if present else None


conditions: Registry[Condition] = Registry("condition")


class Condition(nn.Module):
    """The embedding of one condition, and the null that takes its place where it is absent.

    ``Conditioner`` calls it. A subclass embeds a value (``embed``) and gives the null (``null``).
    """

    @abstractmethod
    def embed(self, value: Tensor) -> Context:
        """The context of a condition that is present."""

    @abstractmethod
    def null(self, x_t: Tensor) -> Context:
        """The context of an absent condition, for the batch of ``x_t``."""

    def forward(self, value: Tensor | None, keep: Tensor | None, x_t: Tensor) -> Context:
        """The context of the condition, or of its null.

        Args:
            value: The condition's values (batch, ...); None for the null in every sample.
            keep: (batch,) bool, False where the null takes the value's place; None keeps all.
            x_t: The noisy batch (batch, channels, *space), for the shape and place of the null.

        Returns:
            The context, its tensors (batch, ...).
        """
        absent = self.null(x_t)
        if value is None:
            return absent
        present = self.embed(value)
        if keep is None:
            return present
        return self._choose(present, absent, keep)

    def _choose(self, present: Context, absent: Context, keep: Tensor) -> Context:
        """The embedding where ``keep`` (batch,) is True, the null elsewhere."""
        return Context(
            _where(keep, present.vector, absent.vector),
            _where(keep, present.spatial, absent.spatial),
        )


def _where(keep: Tensor, a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return (
        None if a is None or b is None else torch.where(keep.view(-1, *(1,) * (a.ndim - 1)), a, b)
    )


def _null_parameter(size: int, null: str) -> Tensor:
    """The null as a learned parameter, or as zeros that never move."""
    if null not in ("learned", "zero"):
        raise InputError(f"A condition's null is 'learned' or 'zero', not {null!r}.")
    return nn.Parameter(0.02 * torch.randn(size)) if null == "learned" else torch.zeros(size)


class _WithNull(Condition):
    """A condition whose null is one embedding, a parameter or a buffer of zeros."""

    absent: Tensor

    def _set_null(self, size: int, null: str) -> None:
        value = _null_parameter(size, null)
        if isinstance(value, nn.Parameter):
            self.absent = value
        else:
            self.register_buffer("absent", value)


@conditions.register("class")
class ClassCondition(_WithNull):
    """A class label, (batch,) integers, embedded as a vector that is added to the time embedding.

    Args:
        count: The number of classes; labels are 0 to ``count`` - 1.
        width: The size of the embedding.
        null: ``learned``, or ``zero`` for zeros.
    """

    def __init__(self, count: int, width: int, null: str = "learned") -> None:
        super().__init__()
        self.count = count
        self.embedding = nn.Embedding(count, width)
        self._set_null(width, null)

    def embed(self, value: Tensor) -> Context:
        if value.numel() and (int(value.min()) < 0 or int(value.max()) >= self.count):
            raise InputError(
                f"A class must be between 0 and {self.count - 1}, got {int(value.min())} to "
                f"{int(value.max())}."
            )
        return Context(vector=self.embedding(value.long()))

    def null(self, x_t: Tensor) -> Context:
        return Context(vector=self.absent.expand(len(x_t), -1))


@conditions.register("vector")
class VectorCondition(_WithNull):
    """A vector (batch, size), embedded by a two-layer perceptron.

    Args:
        size: The numbers of the vector.
        width: The size of the embedding.
        null: ``learned``, or ``zero`` for zeros.
    """

    def __init__(self, size: int, width: int, null: str = "learned") -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width))
        self._set_null(width, null)

    def embed(self, value: Tensor) -> Context:
        return Context(vector=self.project(value))

    def null(self, x_t: Tensor) -> Context:
        return Context(vector=self.absent.expand(len(x_t), -1))


@conditions.register("spatial")
class SpatialCondition(_WithNull):
    """An image (batch, channels, *space) on the grid of x_t, concatenated to x_t with one channel
    more, which is 1 where the image is present and 0 where the null stands.
    """

    def __init__(self, channels: int, null: str = "learned") -> None:
        super().__init__()
        self._set_null(channels, null)

    def embed(self, value: Tensor) -> Context:
        return Context(spatial=torch.cat([value, torch.ones_like(value[:, :1])], 1))

    def null(self, x_t: Tensor) -> Context:
        space = x_t.shape[2:]
        value = self.absent.view(1, -1, *(1,) * len(space)).expand(len(x_t), -1, *space)
        return Context(spatial=torch.cat([value, torch.zeros_like(value[:, :1])], 1))


@conditions.register("tokens")
class TokenCondition(_WithNull):
    """A token sequence (batch, length, size) for cross-attention, with an optional mask; its null
    is a single token.

    Args:
        size: The numbers of a token.
        width: The size that tokens are projected to.
        null: ``learned``, or ``zero`` for zeros.
    """

    def __init__(self, size: int, width: int, null: str = "learned") -> None:
        super().__init__()
        self.project = nn.Linear(size, width)
        self._set_null(width, null)

    def embed(self, value: Tensor, mask: Tensor | None = None) -> Context:
        token_mask = (
            torch.ones(value.shape[:2], dtype=torch.bool, device=value.device)
            if mask is None
            else mask
        )
        return Context(tokens=self.project(value), token_mask=token_mask)

    def null(self, x_t: Tensor) -> Context:
        tokens = self.absent.expand(len(x_t), 1, -1)
        return Context(
            tokens=tokens, token_mask=torch.ones(len(x_t), 1, dtype=torch.bool, device=x_t.device)
        )

    def _choose(self, present: Context, absent: Context, keep: Tensor) -> Context:
        # The sequences differ in length, so both are kept end to end, and the mask says which
        # of them attention sees.
        joined = present.merge(absent)
        assert present.token_mask is not None
        assert absent.token_mask is not None
        return replace(
            joined,
            token_mask=torch.cat(
                [present.token_mask & keep[:, None], absent.token_mask & ~keep[:, None]], 1
            ),
        )


class Conditioner(nn.Module):
    """All conditions of a model by name, embedded into one ``Context``."""

    def __init__(self, parts: Mapping[str, Condition] | None = None) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(dict(parts or {}))

    def forward(
        self, x_t: Tensor, values: Mapping[str, Any], keep: Mapping[str, Tensor] | None = None
    ) -> Context:
        """The context of a batch; a condition without a value gets its null.

        Args:
            x_t: The noisy batch (batch, channels, *space).
            values: The condition's values (batch, ...) by name; ``NAME_mask`` (batch, length) is
                the mask of the token condition NAME.
            keep: (batch,) bool by name, False where training hides the condition.

        Returns:
            The merged context of all conditions.

        Raises:
            InputError: The model takes no condition of this name.
        """
        for name in values:
            if name not in self.parts and name.removesuffix("_mask") not in self.parts:
                names = ", ".join(self.parts) or "none"
                raise InputError(f"This model takes no condition {name!r}; it takes: {names}.")
        context = Context()
        for name, part in self.parts.items():
            # Embed the condition; its own mask then hides padded tokens.
            value, mask = values.get(name), values.get(f"{name}_mask")
            piece = part(value, (keep or {}).get(name), x_t)
            if mask is not None and piece.token_mask is not None:
                piece = replace(
                    piece, token_mask=piece.token_mask & _padded(mask, piece.token_mask)
                )
            context = context.merge(piece)
        return context


def _padded(mask: Tensor, like: Tensor) -> Tensor:
    """A mask for the condition's own tokens, True for the null tokens that follow them."""
    extra = torch.ones(
        len(mask), like.shape[1] - mask.shape[1], dtype=torch.bool, device=mask.device
    )
    return torch.cat([mask.bool(), extra], 1)
