"""Noise: forward and reverse, a slider through time over trajectories that are there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unfog.lab.form import CHOICE, NUMBER, Answers, Choice, Field
from unfog.lab.job import RESULT, Job
from unfog.lab.page import Made, Page
from unfog.lab.results import listing
from unfog.lab.runs_folder import RunsFolder, priors

PRIORS = ("fashion", "garments", "t1-slices", "head-ct", "textures")
SAMPLERS = ("ddim", "heun", "ddpm", "euler-ancestral", "dpmpp-2m")


def _fields(runs: RunsFolder) -> Sequence[Field]:
    pictures = [run for run in runs.runs() if len(run.space) == 2]
    offered = [*(p for p in priors() if p.id in PRIORS), *pictures]
    return (
        Field("run", "Model", CHOICE, default="fashion", required=True,
              choices=[Choice(one.id, one.label) for one in offered]),
        Field("sampler", "Sampler", CHOICE, "--sampler", "heun",
              choices=[Choice(name, name) for name in SAMPLERS]),
        Field("steps", "Steps", NUMBER, "--steps", "20", step="1"),
        Field("seed", "Seed", NUMBER, "--seed", "0", step="1"),
    )  # fmt: skip


def _command(answers: Answers, runs: RunsFolder) -> Made:
    """``python -m unfog.lab.trajectory RUN ...``."""
    run = runs.get(answers.values["run"])
    line = [run.told, *answers.options(_fields(runs)), "--out", RESULT]
    return Made(line, module="unfog.lab.trajectory")


def _view(job: Job, folder: Path) -> Mapping[str, Any]:
    """The frames' picture and numbers."""
    files = {f.path.name: f.number for f in listing(folder)}
    return {"picture": files["frames.png"], "numbers": files["frames.json"]}


PAGE = Page(
    name="noise",
    title="Noise",
    lead="One slider through time: forward, data drown in noise; in reverse, they come out of it.",
    submit="Walk again",
    fields=_fields,
    command=_command,
    view=_view,
)
