"""Audit: does a model give its training data away? ``unfog audit``."""

from __future__ import annotations

from collections.abc import Sequence

from unfog.lab.examples import Example
from unfog.lab.form import CHOICE, NUMBER, Answers, Choice, Field
from unfog.lab.job import RESULT
from unfog.lab.page import Made, Page
from unfog.lab.runs_folder import RunsFolder, priors

PRIORS = ("fashion", "garments", "t1-slices", "head-ct", "textures")
FEATURES = (Choice("data", "learned from the data"), Choice("pixels", "pixels"))


def _fields(runs: RunsFolder) -> Sequence[Field]:
    offered = [*(p for p in priors() if p.id in PRIORS), *runs.runs()]
    return (
        Field("run", "Model", CHOICE, default="fashion", required=True,
              choices=[Choice(one.id, one.label) for one in offered],
              help="Its training data must be at hand: unfog data fetch NAME."),
        Field("count", "Samples", NUMBER, "-n", "100", step="1"),
        Field("steps", "Steps", NUMBER, "--steps", step="1", help="The model's own without."),
        Field("likelihood", "Members measured", NUMBER, "--likelihood", "8", step="1",
              help="And as many others, by their likelihood."),
        Field("extract", "Draws to extract", NUMBER, "--extract", "0", step="1",
              help="Of each of ten conditions; 0 for none."),
        Field("features", "Features", CHOICE, "--features", "data", choices=FEATURES),
        Field("seed", "Seed", NUMBER, "--seed", "0", step="1"),
    )  # fmt: skip


def _command(told: Answers, runs: RunsFolder) -> Made:
    """``unfog audit RUN ...``."""
    run = runs.get(told.values["run"]).told
    return Made(["audit", run, *told.options(_fields(runs)), "--out", RESULT, "--json"])


PAGE = Page(
    name="audit",
    title="Audit",
    lead="Does a model repeat its training data, or give away who was in them?",
    submit="Audit",
    fields=_fields,
    command=_command,
    view=lambda job, folder: {},
    examples=(
        Example(
            "fashion",
            "Does the prior of garments copy? (minutes)",
            {
                "run": "fashion",
                "count": "40",
                "steps": "8",
                "likelihood": "4",
                "extract": "0",
                "features": "pixels",
            },
        ),
    ),
    template="judged.html",
)
