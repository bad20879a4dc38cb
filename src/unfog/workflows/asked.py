"""What a user asks samples to show, and how much: classes, properties, masks, sketches, prompts
and guidance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.core.named_class import KIND, number_of
from unfog.core.registry import unknown
from unfog.errors import InputError
from unfog.runs.guided import EVERYWHERE, Guidance
from unfog.runs.prompts import Prompt
from unfog.runs.run import Run
from unfog.workflows.prompts import negative_condition, require_text


@dataclass(frozen=True)
class Asked:
    """What a user asks the samples to show, as ``sample_run`` has it."""

    label: int | str | None
    mask: Path | None
    only: str | None
    text: str | None
    negative: str | None
    guidance: str | float | None
    interval: tuple[float, float] | None
    rescale: float | None
    seamless: bool
    properties: str | None = None
    sketch: Path | None = None

    @property
    def wishes(self) -> tuple[object, ...]:
        """What guidance may guide towards, None where it is not asked for."""
        return self.label, self.mask, self.text, self.properties, self.sketch

    def check(self, run: Run) -> None:
        """``InputError`` for options that mean nothing to the run or to each other."""
        if self.text is not None:
            require_text(run)
        if self.only is not None and self.mask is None:
            raise InputError("--only chooses among the classes of a mask; give --mask too.")
        for name, map_ in (("mask", self.mask), ("sketch", self.sketch)):
            if map_ is not None and self.seamless:
                raise InputError(
                    f"A {name} has borders and does not tile; leave --seamless or --{name} out."
                )
        if self.mask is not None and (self.text or "").startswith("@"):
            raise InputError("A file of prompts goes without --mask; give one prompt.")
        if self.negative is not None and self.text is None:
            raise InputError("A negative prompt needs one to guide towards; give --text too.")
        if any(given is not None for given in (self.guidance, self.interval, self.rescale)):
            self._check_guidance(run)

    def _check_guidance(self, run: Run) -> None:
        """``InputError`` for guidance towards nothing."""
        if any(given is not None for given in self.wishes):
            return
        ways = [way for kind, way in _WAYS.items() if kind in _kinds(run)]
        if not ways:
            raise InputError(
                f"The run {run.name} was trained without classes; leave --class and --guidance out."
            )
        raise InputError(
            f"Guidance needs something to guide towards; give {' or '.join(ways)} too."
        )

    def guidance_of(self, run: Run, condition: Mapping[str, Any]) -> Guidance | None:
        """The guidance asked for, or with a text the run's own; None for none."""
        asked = self.guidance
        if asked is None and self.text is not None:
            asked = run.config["sampling"].get("guidance")
        if asked is None:
            if self.negative is None and self.interval is None and self.rescale is None:
                return None
            raise InputError(
                "A negative prompt, an interval and a rescaling are parts of guidance; give "
                "--guidance too."
            )
        negative = {} if self.negative is None else negative_condition(run, self.negative)
        scales = stated_scales(run, asked, condition)
        return Guidance(scales, self.interval or EVERYWHERE, self.rescale or 0.0, negative)

    def stated(self, guidance: Guidance | None, prompts: list[Prompt] | None) -> dict[str, Any]:
        """What was asked, for the summary."""
        options = {
            "class": self.label,
            "mask": None if self.mask is None else self.mask.name,
            "sketch": None if self.sketch is None else self.sketch.name,
            "property": self.properties,
            "only": self.only,
            "text": None if prompts is None else [prompt.text for prompt in prompts],
            "negative": self.negative,
            "guidance": None if guidance is None else guidance.scale,
            "interval": None if self.interval is None else list(self.interval),
            "rescale": self.rescale,
            "seamless": self.seamless or None,
        }
        return {name: value for name, value in options.items() if value is not None}


_WAYS = {
    "class": "--class",
    "named-class": "--class",
    "mask": "--mask",
    "sequence": "--text",
    "bytes": "--text",
    "encoded-text": "--text",
    "numbers": "--property",
    "spatial": "--sketch",
}


def _kinds(run: Run) -> set[str]:
    """The kinds of conditions that a run takes."""
    return {part["name"] for part in (run.config.get("conditions") or {}).values()}


def stated_scales(
    run: Run, text: str | float, condition: Mapping[str, Any]
) -> float | dict[str, float]:
    """The guidance that a user states: one number, or "name=number" with commas between them.

    Args:
        run: The model; its conditions are named by their names or kinds, such as class and mask.
        text: What the user wrote.
        condition: What the samples show, by name.

    Returns:
        The scale; or scales by name, in the order in which the run has its conditions.

    Raises:
        InputError: A name is none of the conditions given, or a scale is no number.
    """
    names: dict[str, str] = {}
    for name, part in (run.config.get("conditions") or {}).items():
        if name in condition:
            names |= {name: name, part["name"]: name}
    scales: dict[str, float] = {}
    for item in str(text).split(","):
        name, equals, number = item.rpartition("=")
        try:
            scale = float(number)
        except ValueError:
            scale = math.nan
        if not math.isfinite(scale) or (not equals and "," in str(text)):
            raise InputError(
                f"Guidance is a number, or one for each condition like mask=2,class=1.5, not "
                f"{str(text)!r}."
            )
        if not equals:
            return scale
        if name.strip() not in names:
            raise unknown("condition to guide towards", name.strip(), names)
        scales[names[name.strip()]] = scale
    return {name: scales[name] for name in condition if name in scales}


def classes_of(run: Run, label: int | str | None, count: int) -> dict[str, Tensor]:
    """The condition for one class, by its number or its name, of a run that has one condition of
    classes.
    """
    if label is None:
        return {}
    names = [
        name
        for name, part in (run.config.get("conditions") or {}).items()
        if part["name"] in ("class", KIND)
    ]
    if not names:
        raise InputError(
            f"The run {run.name} was trained without classes; leave --class and --guidance out."
        )
    section = run.config["conditions"][names[0]]
    wanted = str(label)
    if section["name"] == KIND:
        return {names[0]: torch.full((count,), number_of(section, wanted))}
    if not wanted.isdigit():
        raise InputError(f"The class is a number, from 0, not {wanted!r}.")
    if int(wanted) >= section["count"]:
        raise InputError(
            f"The run {run.name} has classes 0 to {section['count'] - 1}, not {wanted}."
        )
    return {names[0]: torch.full((count,), int(wanted))}
