"""The demo's pictures by words: the shipped text-to-image prior draws prompts whose states come
with it, so that no text encoder is fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from unfog.progress import Report
from unfog.runs.kept_prompts import kept_prompts
from unfog.runs.machine import AUTO
from unfog.runs.run import Run, data_range
from unfog.runs.sample import Plan, draw

PRIOR = "emoji"


@dataclass(frozen=True)
class Worded:
    """Pictures by words.

    Args:
        prompts: One a picture.
        pictures: (prompts, 3, rows, columns), in [0, 1].
        guidance: The scale of classifier-free guidance.
        prior: What drew them.
    """

    prompts: Sequence[str]
    pictures: Tensor
    guidance: float
    prior: str


def draw_words(count: int, report: Report, seed: int = 0) -> Worded:
    """Draw the first prompts that come with the prior.

    Args:
        count: How many.
        report: Called with (steps done, steps in all).
        seed: Sample k depends on (seed, k) and its prompt alone.

    Returns:
        The pictures.
    """
    run = Run.open(PRIOR).in_precision(AUTO)
    prompts, states = kept_prompts(run)
    chosen = {name: value[:count] for name, value in states.items()}
    prompts, scale = prompts[:count], float(run.config["sampling"]["guidance"])
    x = draw(
        run,
        Plan.of(run),
        range(len(prompts)),
        seed,
        condition=chosen,
        guidance=scale,
        report=report,
    )
    low, high = data_range(run)
    return Worded(prompts, ((x - low) / (high - low)).clamp(0, 1), scale, run.name)
