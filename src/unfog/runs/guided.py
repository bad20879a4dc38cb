"""A run's denoiser under classifier-free guidance, by what a user asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.registry import unknown
from unfog.errors import InputError
from unfog.guidance.classifier_free import ClassifierFree, ClassifierFreeEach
from unfog.guidance.weighted_prompts import WeightedPrompts
from unfog.runs.build import drops
from unfog.runs.run import Run
from unfog.runs.text_states import NAME

EVERYWHERE = (0.0, float("inf"))


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance as a user asks for it.

    Args:
        scale: w; or one for each condition, by name.
        interval: Noise levels sigma / alpha within which there is guidance.
        rescale: Share of the way that the guided mean is taken back to the conditional one's
            spread.
        negative: Conditions, each a batch of one, that stand where the model's null would: what
            samples are to be unlike.
    """

    scale: float | Mapping[str, float]
    interval: tuple[float, float] = EVERYWHERE
    rescale: float = 0.0
    negative: Mapping[str, Tensor] = field(default_factory=dict)


def guided(run: Run, asked: float | Mapping[str, float] | Guidance) -> Denoiser:
    """The run's denoiser with classifier-free guidance, of all its conditions or with a scale for
    each by name.

    Args:
        run: The model.
        asked: The guidance, or its scale alone.

    Returns:
        The guided denoiser; of a run with text it takes several weighted prompts a sample.

    Raises:
        InputError: A condition was never dropped in training, so that the run knows no distribution
            without it, or is none of the run's; or scales by name meet what one scale alone takes.
    """
    asked = asked if isinstance(asked, Guidance) else Guidance(asked)
    scale = asked.scale
    _check_nulls(run, scale, bool(asked.negative))
    denoiser = prompted(run)
    # What was never dropped, such as the picture to be upsampled, is told either way.
    chances = _chances(run)
    told = [
        key
        for name, part in run.denoiser.conditioner.named()
        for key in (name, f"{name}_{part.companion}")
        if not chances[name]
    ]
    if not isinstance(scale, Mapping):
        return ClassifierFree(denoiser, scale, asked.interval, asked.rescale, asked.negative, told)
    if asked.negative or asked.interval != EVERYWHERE:
        raise InputError(
            "A negative prompt and an interval of guidance go with one scale; give --guidance one "
            "number."
        )
    return ClassifierFreeEach(run.denoiser, scale, asked.rescale, told)


def prompted(run: Run) -> Denoiser:
    """The run's denoiser; of a run with text one that takes several weighted prompts a sample."""
    return WeightedPrompts(run.denoiser, NAME) if NAME in run.config else run.denoiser


def _check_nulls(run: Run, scale: float | Mapping[str, float], negative: bool) -> None:
    """``InputError`` where guidance asks for a null that the run does not know."""
    chances = _chances(run)
    scales = scale if isinstance(scale, Mapping) else dict.fromkeys(chances, scale)
    for name in scales:
        if name not in chances:
            raise unknown(f"condition of {run.name}", name, chances)
    # Scales of their own need the null of each condition, one scale that of any; a negative prompt
    # stands in the null's place.
    moved = [name for name, value in scales.items() if value != 1]
    known = [name for name in moved if chances[name]]
    each = isinstance(scale, Mapping)
    if moved and not negative and (len(known) < len(moved) if each else not known):
        raise InputError(
            f"Guidance needs a model that knows its null, and {run.name} was trained without one "
            "(drop: 0); take guidance 1."
        )


def _chances(run: Run) -> dict[str, float]:
    """The probability with which training hid each condition whole, by name."""
    return {
        name: chance[0] if isinstance(chance, Sequence) else chance
        for name, chance in drops(run.config).items()
    }
