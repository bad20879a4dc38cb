"""What reads captions and prompts: a frozen encoder of text, or a tokeniser whose embedding the
model learns itself.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.registry import Registry
from unfog.errors import InputError

log = logging.getLogger(__name__)
SHOWN = 60  # characters of a prompt in a message


class PromptReader(ABC):
    """Turns prompts into the values of a condition.

    Attributes:
        max_tokens: The most tokens of a prompt; what is longer is cut, and said.
        sha256: Of all that its values depend on; None where that is its own code alone.
        condition: Registry config, without width, of the condition that takes its values.
    """

    max_tokens: int
    sha256: str | None = None
    condition: dict[str, Any]

    @abstractmethod
    def rows(self, prompts: Sequence[str]) -> list[Tensor]:
        """The value of each prompt, (length of it, ...).

        Raises:
            InputError: A prompt is empty.
        """

    def values(self, prompts: Sequence[str], name: str = "text") -> dict[str, Tensor]:
        """The values of prompts as a batch of the condition ``name``, with its mask.

        Args:
            prompts: The prompts.
            name: The condition's name.

        Returns:
            ``NAME`` (prompts, longest length, ...) and ``NAME_mask`` (prompts, longest length).
        """
        value, mask = padded(self.rows(prompts))
        return {name: value, f"{name}_mask": mask}


readers: Registry[PromptReader] = Registry("text encoder")


@dataclass(frozen=True)
class TextStates:
    """What an encoder makes of prompts.

    Args:
        tokens: The states of the tokens, (prompts, T, width) float32.
        mask: (prompts, T) bool, True where there is a token; those of a prompt come first.
        pooled: One vector a prompt, (prompts, pooled width) float32.
    """

    tokens: Tensor
    mask: Tensor
    pooled: Tensor

    def rows(self) -> list[Tensor]:
        """The states of each prompt as one table (1 + its tokens, W), the pooled vector first; W is
        the larger width, and zeros fill up the smaller.
        """
        wide = max(self.tokens.shape[-1], self.pooled.shape[-1])
        joined = torch.cat([_widened(self.pooled[:, None], wide), _widened(self.tokens, wide)], 1)
        return [one[: 1 + int(there.sum())] for one, there in zip(joined, self.mask, strict=True)]


class TextEncoder(PromptReader):
    """A frozen encoder: token states for cross-attention, and a pooled vector.

    Attributes:
        width: Of a token's state.
        pooled_width: Of the pooled vector.
    """

    width: int
    pooled_width: int

    @abstractmethod
    def encode(self, prompts: Sequence[str]) -> TextStates:
        """The states of prompts; ``InputError`` where one is empty."""

    @property
    def condition(self) -> dict[str, Any]:  # type: ignore[override]
        return {"name": "sequence", "size": self.width, "pooled_size": self.pooled_width}

    def rows(self, prompts: Sequence[str]) -> list[Tensor]:
        return self.encode(prompts).rows()


def padded(rows: Sequence[Tensor], length: int | None = None) -> tuple[Tensor, Tensor]:
    """Rows as a batch.

    Args:
        rows: Values (length of it, ...) of each sample.
        length: Of the batch; that of the longest by default.

    Returns:
        Values (samples, length, ...), filled up with zeros, and a mask (samples, length), True
        where there is a row.
    """
    length = max(map(len, rows)) if length is None else length
    value = rows[0].new_zeros(len(rows), length, *rows[0].shape[1:])
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for place, one in enumerate(rows):
        value[place, : len(one)] = one
        mask[place, : len(one)] = True
    return value, mask


def require_prompts(prompts: Sequence[str]) -> list[str]:
    """The prompts without blanks around them; ``InputError`` where one is empty."""
    stripped = [prompt.strip() for prompt in prompts]
    if not stripped or not all(stripped):
        raise InputError("A prompt is empty; say in words what the sample is to show.")
    return stripped


def say_cut(prompt: str, tokens: int, most: int) -> None:
    """Warn that a prompt is longer than its encoder takes.

    Args:
        prompt: The prompt.
        tokens: How many tokens it has.
        most: How many are read.
    """
    shown = prompt if len(prompt) <= SHOWN else f"{prompt[:SHOWN]}.."
    log.warning("The prompt %r has %d tokens; the first %d are read.", shown, tokens, most)


def _widened(x: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(x, (0, width - x.shape[-1]))
