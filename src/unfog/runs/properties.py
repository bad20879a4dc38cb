"""Properties that samples are asked to have, in their own units: what a run was trained to know of
them stands in its config, ``sampling.properties``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from unfog.core.registry import Registry, unknown
from unfog.errors import InputError
from unfog.runs.run import Run, data_range
from unfog.sampling.best_of import best_of

Measure = Callable[[Tensor], Tensor]  # samples (batch, channels, *space) in [0, 1] to (batch, n)
measures: Registry[Measure] = Registry("measure")  # by the data set whose samples it measures

CONDITION = "property"  # the condition's name
SLACK = 1e-6  # of a range, for rounding


def known_properties(run: Run) -> Mapping[str, Sequence[float]]:
    """Of each property that a run knows the training data's mean and deviation, and, where they
    were kept, the smallest and the largest value.
    """
    return run.config.get("sampling", {}).get("properties") or {}


def asked_properties(run: Run, text: str) -> dict[str, Tensor]:
    """Properties as a run's condition.

    Args:
        run: The model, trained with the condition ``property``.
        text: "width=0.5,brightness=0.8", each in its unit. A run whose condition is a vector is
            asked for all that it knows at once, one of ``numbers`` for any of them.

    Returns:
        By name, batches of one: each number less the training data's mean, over their deviation,
        and of ``numbers`` which are given.

    Raises:
        InputError: The run knows none, or others, a value is no number or lies out of the range of
            the training data.
    """
    known = known_properties(run)
    if not known:
        raise InputError(
            f"{run.name} was trained without properties; leave --property out, or train a run "
            "whose data have some."
        )
    given = _numbers(text)
    for name in given:
        if name not in known:
            raise unknown(f"property of {run.name}", name, known)
    free = run.config["conditions"][CONDITION]["name"] == "numbers"
    if not free and set(given) != set(known):
        raise InputError(
            f"{run.name} knows the properties {', '.join(known)}, all of which are asked for at "
            f"once, not {', '.join(given)}."
        )
    scaled = [_scaled(run, name, given.get(name), known[name]) for name in known]
    condition = {CONDITION: torch.tensor([scaled])}
    if free:
        condition[f"{CONDITION}_mask"] = torch.tensor([[name in given for name in known]])
    return condition


def check_measured(run: Run, best: int, asked: str | None) -> None:
    """``InputError`` where the best of several draws is asked for and nothing tells which it is."""
    if best == 1:
        return
    if asked is None:
        raise InputError("--best keeps the draw that is nearest to a wish; give --property too.")
    if run.config["data"]["name"] not in measures.names():
        raise InputError(
            f"The properties of {run.name} cannot be measured in its samples; leave --best out."
        )


def nearest_draws(run: Run, draws: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
    """Of several draws of each sample the one whose measured properties are nearest to those asked
    for, by the squared difference over the training data's variance.

    Args:
        run: The model, whose data are among ``measures``.
        draws: (draws, batch, channels, *space), in the data's units.
        condition: What was asked, as ``asked_properties`` gives it, a sample each.

    Returns:
        (batch, channels, *space).
    """
    low, high = data_range(run)
    measure = measures.build({"name": run.config["data"]["name"]})
    found = torch.stack([measure(((x - low) / (high - low)).clamp(0, 1)) for x in draws])
    known = torch.tensor([list(scale[:2]) for scale in known_properties(run).values()])
    error = ((found - known[:, 0]) / known[:, 1] - condition[CONDITION]).square()
    given = condition.get(f"{CONDITION}_mask")
    return best_of(draws, -(error if given is None else error * given).sum(-1))


def _numbers(text: str) -> dict[str, float]:
    """The numbers in "name=number,name=number", by name."""
    pairs = [part.strip().partition("=") for part in text.split(",")]
    try:
        return {name: float(value) for name, _, value in pairs}
    except ValueError as error:
        raise InputError(f"A property is asked for as NAME=NUMBER, not {text!r}.") from error


def _scaled(run: Run, name: str, value: float | None, known: Sequence[float]) -> float:
    """A property's number on the condition's scale, 0 where it is not asked for."""
    if value is None:
        return 0.0
    mean, deviation, *ends = known
    if ends:
        low, high = ends
        slack = SLACK * (high - low)
        if not low - slack <= value <= high + slack:
            raise InputError(
                f"The property {name} was {low:.3g} to {high:.3g} in the training data of "
                f"{run.name}, not {value:g}; ask for one within."
            )
    return (value - mean) / deviation
