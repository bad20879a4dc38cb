"""Sample: pictures out of noise: ``unfog sample``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.lab.examples import Example
from unfog.lab.form import CHOICE, NUMBER, Answers, Choice, Field, FieldError
from unfog.lab.job import RESULT, Job
from unfog.lab.page import Made, Page
from unfog.lab.results import listing, named
from unfog.lab.runs_folder import Listed, RunsFolder, priors

PRIORS = ("fashion", "garments", "t1-slices", "head-ct", "textures", "emoji", "cloth", "head")


def _offered(runs: RunsFolder) -> list[Listed]:
    return [*(p for p in priors() if p.id in PRIORS), *runs.runs()]


def _classes(listed: Listed) -> Sequence[str]:
    """The names or numbers of a run's classes."""
    label = (listed.config.get("conditions") or {}).get("label") or {}
    return [str(n) for n in label.get("names") or range(int(label.get("count") or 0))]


def _fields(runs: RunsFolder) -> Sequence[Field]:
    offered = _offered(runs)
    of_classes = {one.id: _classes(one) for one in offered}
    known = "; ".join(f"{k}: {', '.join(v)}" for k, v in of_classes.items() if v)
    with_text = tuple(one.id for one in offered if one.config.get("text"))
    with_class = tuple(name for name, classes in of_classes.items() if classes)
    return (
        Field("run", "Model", CHOICE, default="fashion", required=True,
              choices=[Choice(one.id, one.label) for one in offered]),
        Field("label", "Class", option="--class", help=f"By {known}." if known else "",
              only=("run", with_class)),
        Field("text", "What it shows", option="--text", help="Such as: a red heart.",
              only=("run", with_text)),
        Field("negative", "What it is unlike", option="--negative", only=("run", with_text)),
        Field("guidance", "Guidance", option="--guidance",
              help="0 ignores class and text, 1 uses them, more insists.",
              only=("run", with_class + with_text)),
        Field("count", "How many", NUMBER, "-n", "16", step="1"),
        Field("steps", "Steps", NUMBER, "--steps", step="1", help="The model's own without."),
        Field("seed", "Seed", NUMBER, "--seed", "0", step="1"),
    )  # fmt: skip


def _command(answers: Answers, runs: RunsFolder) -> Made:
    """``unfog sample RUN ...``."""
    for name in ("text", "negative"):
        if answers.values.get(name, "").startswith("@"):
            raise FieldError(name, "A prompt from a file is for the terminal; write it here.")
    run = runs.get(answers.values["run"])
    if not run.space:
        raise InputError("This run makes nothing that can be shown here; sample in the terminal.")
    return Made(["sample", run.told, *answers.options(_fields(runs)), "--out", RESULT, "--json"])


def _view(job: Job, folder: Path) -> Mapping[str, Any]:
    """The contact sheet, and each sample."""
    each = [f for f in listing(folder) if f.path.name.startswith("sample-")]
    return {"sheet": named(folder, "contact-sheet"), "each": each[:64]}


PAGE = Page(
    name="sample",
    title="Sample",
    lead="Noise goes in, pictures come out; the same seed gives the same ones.",
    submit="Sample",
    fields=_fields,
    command=_command,
    view=_view,
    examples=(
        Example("fashion", "Sixteen garments", {"run": "fashion", "count": "16", "steps": "10"}),
        Example(
            "coat",
            "Coats, by class",
            {"run": "garments", "label": "coat", "guidance": "2", "count": "8", "steps": "12"},
        ),
        Example(
            "slices", "Slices of no one's head", {"run": "t1-slices", "count": "4", "steps": "12"}
        ),
    ),
)
