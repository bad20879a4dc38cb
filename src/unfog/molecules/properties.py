"""Properties that molecules are asked to have."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.runs.run import Run


def asked_property(run: Run, text: str) -> Tensor:
    """Properties as a run's condition.

    Args:
        run: The model, trained with the condition ``property``.
        text: "gap=5.2" in the property's unit, comma between several; all that the run knows.

    Returns:
        (1, properties): each less the training data's mean, over their deviation.

    Raises:
        InputError: The run knows none, or others, or a value is no number.
    """
    known = run.config["sampling"].get("properties") or {}
    if not known:
        raise InputError(
            f"{run.name} was trained without properties; train one: --set data.properties=gap."
        )
    given = dict(part.partition("=")[::2] for part in text.split(","))
    if set(given) != set(known):
        raise InputError(
            f"{run.name} knows the properties {', '.join(known)}, all of which are asked for at "
            f"once, not {', '.join(given)}."
        )
    try:
        numbers = {name: float(value) for name, value in given.items()}
    except ValueError as error:
        raise InputError(f"A property is asked for as NAME=NUMBER, not {text!r}.") from error
    scaled = [(numbers[name] - mean) / std for name, (mean, std) in known.items()]
    return torch.tensor([scaled])
