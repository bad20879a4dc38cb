"""Compare: systems trained side by side on the same budget: ``unfog compare``."""

from __future__ import annotations

from collections.abc import Sequence

from unfog.lab.examples import Example
from unfog.lab.form import CHOICE, NUMBER, Answers, Choice, Field
from unfog.lab.job import RESULT
from unfog.lab.page import Made, Page
from unfog.lab.runs_folder import RunsFolder

DATA = ("digits", "fashion-mnist", "textures")
FEATURES = (Choice("data", "learned from the data"), Choice("pixels", "pixels"))


def _fields(runs: RunsFolder) -> Sequence[Field]:
    return (
        Field("data", "Data", CHOICE, "--data", "digits", required=True,
              choices=[Choice(name, name) for name in DATA]),
        Field("systems", "Systems", option="--systems", default="edm,gan,vae", required=True,
              help="Two or more of `unfog systems`, with commas."),
        Field("minutes", "Minutes a run", NUMBER, "--minutes", "1", help="Of one processor."),
        Field("seeds", "Runs of each", NUMBER, "--seeds", "2", step="1"),
        Field("count", "Samples of a run", NUMBER, "-n", "200", step="1"),
        Field("features", "Features", CHOICE, "--features", "data", choices=FEATURES),
    )  # fmt: skip


def _command(told: Answers, runs: RunsFolder) -> Made:
    """``unfog compare ...``."""
    return Made(["compare", *told.options(_fields(runs)), "--out", RESULT, "--json"])


PAGE = Page(
    name="compare",
    title="Compare",
    lead="Systems side by side, the same minutes each: how good, how stable, how costly.",
    submit="Compare",
    fields=_fields,
    command=_command,
    view=lambda job, folder: {},
    examples=(
        Example(
            "digits",
            "EDM and a GAN on digits, six seconds each",
            {"data": "digits", "systems": "edm,gan", "minutes": "0.1", "seeds": "1",
             "count": "100", "features": "pixels"},
        ),
    ),
    template="judged.html",
)  # fmt: skip
