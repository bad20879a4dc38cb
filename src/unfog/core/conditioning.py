"""Conditioning: the embeddings of named conditions, with the null of classifier-free guidance.

A condition is a class, a vector, an image (spatial), a mask (a map of classes), a token sequence,
or one with a pooled vector.
Each has a null, what the network gets when the condition is absent: a learned embedding, or zeros.
Training drops a condition per sample at random (Ho & Salimans 2022), so the same network serves
with and without it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

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
    decoupled: Tensor | None = None  # (batch, length, width): a cross-attention beside that one

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
            _join(self.decoupled, other.decoupled),
        )


def _join(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    present = [p for p in (a, b) if p is not None]
    return torch.cat(present, 1) if present else None


conditions: Registry[Condition] = Registry("condition")


class Condition(nn.Module):
    """The embedding of one condition, and the null that takes its place where it is absent.

    ``Conditioner`` calls it. A subclass embeds a value (``embed``) and gives the null (``null``).

    Attributes:
        sizes: The sizes of what it adds to a context, as the parameters of a network.
        on_grid: Whether its values lie on the grid of x_0 and move with it in augmentation.
        made_of_data: Whether training makes its values of the data themselves (``derive``).
        companion: What ends the name of the tensor that comes with its values, NAME_companion.
        companion_on_grid: Whether that lies on the grid of x_0 too.
    """

    sizes: dict[str, int]
    on_grid: bool = False
    made_of_data: bool = False
    companion: str = "mask"
    companion_on_grid: bool = False

    def derive(self, x: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """What training gives it, where that is made of the data.

        Args:
            x: Clean data on the model's scale, (batch, channels, *space).
            generators: One for each sample.

        Returns:
            The values, and what comes with them.
        """
        raise NotImplementedError

    @abstractmethod
    def embed(self, value: Tensor) -> Context:
        """The context of a condition that is present."""

    @abstractmethod
    def null(self, x_t: Tensor) -> Context:
        """The context of an absent condition, for the batch of ``x_t``."""

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """The context of the condition, or of its null.

        Args:
            value: The condition's values (batch, ...); None for the null in every sample.
            keep: (batch,) bool, False where the null takes the value's place; None keeps all.
            x_t: The noisy batch (batch, channels, *space), for the shape and place of the null.
            mask: (batch, parts) bool, False where a part of the value is not there, for the
                conditions that have parts; or what else comes with the value (``companion``).

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
            decoupled=_where(keep, present.decoupled, absent.decoupled),
        )


def _null_parameter(size: int, null: str) -> Tensor:
    """The null as a learned parameter, or as zeros that never move."""
    if null not in ("learned", "zero"):
        raise InputError(f"A condition's null is 'learned' or 'zero', not {null!r}.")
    return nn.Parameter(0.02 * torch.randn(size)) if null == "learned" else torch.zeros(size)


def set_null(module: nn.Module, name: str, size: int, null: str) -> None:
    """Give a module a null called ``name``.

    Args:
        module: The condition.
        name: The null's name.
        size: Its numbers.
        null: ``learned`` for a parameter, ``zero`` for a buffer of zeros.
    """
    value = _null_parameter(size, null)
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def _where(keep: Tensor, a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return (
        None if a is None or b is None else torch.where(keep.view(-1, *(1,) * (a.ndim - 1)), a, b)
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
            values: The condition's values (batch, ...) by name; ``NAME_mask`` says which parts of
                the condition NAME are there: tokens (batch, length), classes of a mask (batch,
                classes). ``NAME_level`` is the level of the noise in a picture.
            keep: (batch,) bool by name, False where training hides the condition; for a mask
                also (batch, classes).

        Returns:
            The merged context of all conditions.

        Raises:
            InputError: The model takes no condition of this name.
        """
        for name in values:
            if self.owner(name) is None:
                names = ", ".join(self.parts) or "none"
                raise InputError(f"This model takes no condition {name!r}; it takes: {names}.")
        context = Context()
        for name, part in self.named():
            kept, beside = (keep or {}).get(name), values.get(f"{name}_{part.companion}")
            context = context.merge(part(values.get(name), kept, x_t, beside))
        return context

    def owner(self, name: str) -> str | None:
        """The condition that takes a value of this name, as its own or what comes with it; None
        where none does.
        """
        for own, part in self.named():
            if name in (own, f"{own}_{part.companion}"):
                return own
        return None

    def named(self) -> list[tuple[str, Condition]]:
        """The conditions with their names."""
        return [(name, cast(Condition, part)) for name, part in self.parts.items()]
