"""Runs: trained from here, watched, stopped, resumed, sampled and compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unfog.errors import InputError
from unfog.lab import answers
from unfog.lab.examples import Example
from unfog.lab.form import CHOICE, NUMBER, Answers, Choice, Field, FieldError
from unfog.lab.job import DONE, ENDED, Job
from unfog.lab.page import Made, Page
from unfog.lab.report_page import framed
from unfog.lab.results import named
from unfog.lab.runs_folder import Listed, RunsFolder, id_of
from unfog.report import line_chart
from unfog.runs.record import Record
from unfog.workflows.run_table import comparison_page, curves

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from unfog.lab.server import Lab

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
SYSTEMS = ("edm", "ddpm", "rectified-flow")
DATA = ("digits", "fashion-mnist", "textures", "mni-t1")
AGAIN = ("--resume",)
SHEETS = 6  # of samples, the newest


def _fields(runs: RunsFolder) -> Sequence[Field]:
    return (
        Field("name", "Name of the run", required=True, default=_free(runs), once=True,
              help="Letters, digits, dots and dashes: its folder."),
        Field("system", "System", CHOICE, default="edm", required=True,
              choices=[Choice(name, name) for name in SYSTEMS]),
        Field("data", "Data", CHOICE, "--data", "digits", required=True,
              choices=[Choice(name, name) for name in DATA],
              help="Your own files: unfog train in the terminal; the run is listed here."),
        Field("steps", "Steps", NUMBER, "--steps", step="1", help="Or the minutes it may take."),
        Field("minutes", "Minutes", NUMBER, "--minutes"),
        Field("seed", "Seed", NUMBER, "--seed", "0", step="1"),
    )  # fmt: skip


def _free(runs: RunsFolder) -> str:
    """A name that no run has."""
    number = 1
    while (runs.root / f"run-{number}").exists():
        number += 1
    return f"run-{number}"


def _command(told: Answers, runs: RunsFolder) -> Made:
    """``unfog train SYSTEM --data NAME --out RUN ...``."""
    name = told.values["name"]
    if not NAME.fullmatch(name):
        raise FieldError("name", "A name is of up to 40 letters, digits, dots and dashes.")
    if (runs.root / name).exists():
        raise FieldError("name", f"{name} is there already; choose another name.")
    line = ["train", told.values["system"], *told.options(_fields(runs))]
    return Made([*line, "--out", str(runs.root / name), "--json"], again=AGAIN)


def _run_of(job: Job) -> str:
    """The id of the run that a job trains."""
    return job.fields.get("run") or id_of(job.fields.get("name", ""))


def training(lab: Lab, run: str) -> Job | None:
    """The job that trains a run, where it waits or runs."""
    for job in lab.queue.jobs():
        if job.page == PAGE.name and job.state not in ENDED and _run_of(job) == run:
            return job
    return None


def _more(lab: Lab, job: Job | None) -> Mapping[str, Any]:
    """The list of runs, and the run of the job at hand."""
    records = [(one, record_of(one)) for one in lab.runs.runs()]
    rows = [(one, record.facts(), training(lab, one.id)) for one, record in records if record]
    return {"rows": rows, "run": None if job is None else _run_of(job)}


def record_of(listed: Listed) -> Record | None:
    """A run's record; None where its files are damaged or being written."""
    try:
        return Record.of(Path(listed.told), listed.label)
    except (InputError, ValueError):
        return None


PAGE = Page(
    name="runs",
    title="Runs",
    lead="Train here or in the terminal; watch the loss, stop, resume, compare.",
    submit="Train",
    fields=_fields,
    command=_command,
    view=lambda job, folder: {},
    examples=(
        Example(
            "digits",
            "Learn digits, 400 steps",
            {"system": "edm", "data": "digits", "steps": "400"},
        ),
    ),
    more=_more,
)


def add(route: Callable[..., None]) -> None:
    """The addresses of one run, and of two."""
    route("/runs/compare", _compare)
    route("/runs/{run}", _show)
    route("/runs/{run}/state", _state)
    route("/runs/{run}/resume", _resume, "POST")


def _found(lab: Lab, name: str) -> tuple[Listed, Record]:
    """A run of the folder and its record; ``InputError`` where there is none."""
    for one in lab.runs.runs():
        if one.id == name:
            record = record_of(one)
            if record is not None:
                return one, record
    raise InputError("There is no such run any more.")


async def _show(lab: Lab, request: Request) -> Response:
    """The page of one run."""
    shown: Response = await answers.apart(_shown, lab, request.path_params["run"])
    return shown


def _shown(lab: Lab, name: str) -> Response:
    from unfog.lab.templates import render

    listed, record = _found(lab, name)
    sheets = []
    for job in lab.queue.jobs():
        if job.page == "sample" and job.state == DONE and job.fields.get("run") == name:
            sheet = named(lab.queue.folder(job), "contact-sheet")
            if sheet is not None:
                sheets.append((job, sheet))
    return render(
        "run.html",
        here=PAGE.name,
        run=listed,
        facts=record.facts(),
        chart=_chart(record),
        job=training(lab, name),
        sheets=sheets[:SHEETS],
    )


def _chart(record: Record) -> str:
    """The loss curve as SVG."""
    if len(record.losses) < 2:
        return ""
    log = all(loss > 0 for loss in record.losses)
    return line_chart(curves([record]), "step", "loss", f"Loss of {record.name}", log)


async def _state(lab: Lab, request: Request) -> Response:
    """The loss curve and the step of a run, for a page that shows it live; a run that has just
    been asked for has none yet.
    """
    try:
        _, record = await answers.apart(_found, lab, request.path_params["run"])
    except InputError:
        return answers.data({"chart": "", "step": 0, "loss": None})
    facts = record.facts()
    return answers.data({"chart": _chart(record), "step": facts["step"], "loss": facts["loss"]})


async def _resume(lab: Lab, request: Request) -> Response:
    """A job that trains a run on from its newest checkpoint; {"steps": N} sets another end."""
    name = request.path_params["run"]
    listed, _ = await answers.apart(_found, lab, name)
    try:
        steps = str((await request.json()).get("steps") or "")
    except (ValueError, AttributeError):
        steps = ""
    if training(lab, name) is not None:
        raise InputError("This run is being trained already; stop it first.")
    more = ["--steps", steps] if steps else []
    line = ["train", str(listed.config.get("system")), "--resume", *more]
    job = lab.queue.add(PAGE.name, [*line, "--out", listed.told, "--json"], {"run": name})
    return answers.data({"id": job.id, "address": f"/runs?job={job.id}"})


async def _compare(lab: Lab, request: Request) -> Response:
    """Two runs or more side by side, as the terminal's page: ?run=ID&run=ID."""
    names = request.query_params.getlist("run")
    if not 2 <= len(names) <= 8:
        raise InputError("A comparison is of two runs or more, and at most eight; choose them.")
    records = [(await answers.apart(_found, lab, name))[1] for name in names]
    return framed(comparison_page(records).html())
