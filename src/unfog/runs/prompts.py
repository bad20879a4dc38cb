"""Prompts as users write them, and as a run's condition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.runs.run import Run
from unfog.runs.text_states import NAME, reader_of


@dataclass(frozen=True)
class Prompt:
    """What one sample is to show.

    Args:
        text: As it was written.
        parts: Its prompts.
        weights: Of each, which sum to 1.
    """

    text: str
    parts: tuple[str, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, text: str) -> Prompt:
        """The prompt that a user wrote: words, or several prompts with ``|`` between them, each
        with its weight behind a colon, 1 by default. Weights are scaled to sum to 1.

        >>> Prompt.of("a red heart:3 | a blue heart")
        Prompt(text='a red heart:3 | a blue heart', parts=('a red heart', 'a blue heart'), \
weights=(0.75, 0.25))
        """
        pieces = text.split("|")
        if len(pieces) == 1:
            return cls(text, (_words(text),), (1.0,))
        read = [_weighted(piece) for piece in pieces]
        total = sum(weight for _, weight in read)
        return cls(text, tuple(p for p, _ in read), tuple(weight / total for _, weight in read))

    @classmethod
    def plain(cls, text: str) -> Prompt:
        """One prompt, whatever marks are in it; ``InputError`` where it is empty."""
        return cls(text, (_words(text),), (1.0,))


def _words(text: str) -> str:
    """The words of a prompt; ``InputError`` where there are none."""
    if not text.strip():
        raise InputError("A prompt is empty; say in words what the sample is to show.")
    return text.strip()


def _weighted(piece: str) -> tuple[str, float]:
    """A prompt and the weight behind its last colon; 1 where that holds no number."""
    words, colon, number = piece.rpartition(":")
    try:
        weight = float(number) if colon else math.nan
    except ValueError:
        return _words(piece), 1.0
    if not colon:
        return _words(piece), 1.0
    if not math.isfinite(weight) or weight <= 0:
        raise InputError(
            f"The weight of a prompt is a number above 0, not {number.strip()}; what a sample is "
            "not to show goes to --negative."
        )
    return _words(words), weight


def text_condition(run: Run, prompts: Sequence[Prompt], count: int = 1) -> dict[str, Tensor]:
    """Prompts as the condition of a run with text.

    Args:
        run: The model.
        prompts: What samples show.
        count: Samples of each prompt.

    Returns:
        ``text``, ``text_mask`` and, where a prompt has several parts, ``text_weight``
        (``guidance.weighted_prompts``), for len(prompts) * count samples, those of a prompt side by
        side.

    Raises:
        InputError: The run was trained without text, or its encoder is missing or has changed.
    """
    reader = reader_of(run.config, run.name)
    most = max(len(prompt.parts) for prompt in prompts)
    if most == 1:
        values = reader.values([prompt.parts[0] for prompt in prompts], NAME)
        return {key: value.repeat_interleave(count, 0) for key, value in values.items()}
    # Those with fewer parts repeat the first at weight 0.
    parts = [(*p.parts, *p.parts[:1] * (most - len(p.parts))) for p in prompts]
    flat = reader.values([part for several in parts for part in several], NAME)
    values = {key: value.view(len(prompts), most, *value.shape[1:]) for key, value in flat.items()}
    weights = torch.zeros(len(prompts), most, dtype=torch.float64)
    for place, prompt in enumerate(prompts):
        weights[place, : len(prompt.weights)] = torch.tensor(prompt.weights, dtype=torch.float64)
    values[f"{NAME}_weight"] = weights
    return {key: value.repeat_interleave(count, 0) for key, value in values.items()}
