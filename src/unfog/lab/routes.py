"""The addresses of the page: what each answers."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unfog.errors import InputError
from unfog.lab import answers, pages
from unfog.lab.events import events
from unfog.lab.examples import example_file
from unfog.lab.form import FILE, Field, FieldError, answered
from unfog.lab.job import ENDED, FAILED, Job
from unfog.lab.page import Page
from unfog.lab.painted import is_picture, upright_png
from unfog.lab.queue import ID, link_or_copy
from unfog.lab.report_page import report_answer
from unfog.lab.results import ResultFile, numbered
from unfog.lab.security import TooLarge
from unfog.lab.slices import as_nifti, slice_png
from unfog.lab.static import static_answer
from unfog.lab.templates import render
from unfog.lab.uploads import Upload, looked_at

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

    from unfog.lab.server import Lab

log = logging.getLogger("unfog.lab")


def add(app: FastAPI, lab: Lab) -> None:
    """Add every address to the application."""

    def route(path: str, function: Any, method: str = "GET") -> None:
        app.add_route(path, partial(_called, function, lab), methods=[method])

    route("/", _home)
    route("/jobs", _jobs)
    route("/static/{name}", _static)
    route("/files", _take, "POST")
    route("/files/{upload}/picture", _picture)
    route("/jobs", _add_job, "POST")
    route("/jobs/{job}/events", events)
    route("/jobs/{job}/stop", _stop, "POST")
    route("/jobs/{job}/remove", _remove, "POST")
    route("/jobs/{job}/files/{number}", _download)
    route("/jobs/{job}/slices/{number}", _slice)
    route("/jobs/{job}/volumes/{number}", _volume)
    route("/jobs/{job}/report", _report)
    pages.add(route)
    route("/{page}", _page)


async def _called(function: Any, lab: Lab, request: Request) -> Response:
    """The answer of one of the functions below, or what went wrong, in a sentence.

    Of an error of ours its kind and the line of code are logged, never its text, which may name
    a file.
    """
    try:
        answer: Response = await function(lab, request)
        return answer
    except TooLarge as error:
        return answers.sentence(str(error), 413)
    except InputError as error:
        field = error.field if isinstance(error, FieldError) else ""
        if "text/html" in request.headers.get("accept", ""):  # it is shown as a page
            return _lost(str(error), 422)
        return answers.sentence(str(error), 422, field)
    except Exception as error:
        if type(error).__name__ == "ClientDisconnect":  # nobody waits for an answer
            return answers.sentence("The connection was lost.", 400)
        place = traceback.extract_tb(error.__traceback__)[-1]
        log.error(
            "%s in %s, line %d", type(error).__name__, Path(place.filename).name, place.lineno
        )
        return answers.sentence("Something broke in the lab; its terminal says where.", 500)


def _lost(sentence: str, status: int) -> Response:
    """A page that says what is not there."""
    return render("missing.html", status, here="", sentence=sentence)


def job_of(lab: Lab, request: Request) -> Job:
    """The job that an address names; ``InputError`` where there is none."""
    name = request.path_params["job"]
    job = lab.queue.get(name) if ID.fullmatch(name) else None
    if job is None:
        raise InputError("There is no such job; it may have been removed.")
    return job


def file_of(lab: Lab, request: Request) -> ResultFile:
    """The file of a job that an address names by its number."""
    text = request.path_params["number"]
    found = None
    if text.isdecimal() and len(text) < 6:
        found = numbered(lab.queue.folder(job_of(lab, request)), int(text))
    if found is None:
        raise InputError("There is no such file.")
    return found


async def _home(lab: Lab, request: Request) -> Response:
    return render("home.html", here="", pages=pages.PAGES.values(), jobs=lab.queue.jobs()[:5])


async def _jobs(lab: Lab, request: Request) -> Response:
    return render("jobs.html", here="jobs", jobs=lab.queue.jobs())


async def _static(lab: Lab, request: Request) -> Response:
    return static_answer(request.path_params["name"])


async def _page(lab: Lab, request: Request) -> Response:
    """A page with its form; with ?job=ID that job's state or result too."""
    page = pages.PAGES.get(request.path_params["page"])
    if page is None:
        return _lost("There is no such page.", 404)
    name = request.query_params.get("job", "")
    job = lab.queue.get(name) if ID.fullmatch(name) else None
    if job is not None and job.page != page.name:
        job = None
    answer: Response = await answers.apart(_rendered, lab, page, job)
    return answer


def _rendered(lab: Lab, page: Page, job: Job | None) -> Response:
    """A page as HTML."""
    fields = page.fields(lab.runs)
    return render(
        page.template or f"{page.name}.html",
        here=page.name,
        page=page,
        fields=fields,
        values={f.name: f.default for f in fields} | _kept(fields, job),
        **pages.shown(lab, page, fields, job),
    )


def _kept(fields: Sequence[Field], job: Job | None) -> dict[str, str]:
    """The values of a job that its form shows again; all, where it failed and is to be mended."""
    if job is None:
        return {}
    new = {field.name for field in fields if field.once and job.state != FAILED}
    return {name: value for name, value in job.fields.items() if name not in new}


async def _take(lab: Lab, request: Request) -> Response:
    """A file that was dropped."""
    asked = request.query_params
    mask = asked.get("kind", "") == "mask"
    upload = await lab.uploads.take(asked.get("ending", ""), request.stream(), mask)
    return answers.data({"id": upload.id, "facts": upload.facts})


async def _picture(lab: Lab, request: Request) -> Response:
    """A picture that was dropped, to be painted over; nothing of other files."""
    upload = lab.uploads.get(request.path_params["upload"])
    if not is_picture(upload.path):
        return answers.content("", answers.PNG, 204)
    return answers.content(await answers.apart(upright_png, upload.path), answers.PNG)


async def _add_job(lab: Lab, request: Request) -> Response:
    """A form that was sent: {"page": ..., "example": ..., "fields": {name: value}}."""
    try:
        asked = await request.json()
        page = pages.PAGES[asked["page"]]
        given = {str(k): str(v) for k, v in asked.get("fields", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError("This is no form of the lab.") from None
    job = await answers.apart(_queued, lab, page, given, str(asked.get("example", "")))
    return answers.data({"id": job.id, "address": f"/{page.name}?job={job.id}"})


def _queued(lab: Lab, page: Page, given: dict[str, str], example: str) -> Job:
    """The job of a form's answers."""
    fields = page.fields(lab.runs)
    uploads: dict[str, Upload] = {}
    for field in (f for f in fields if f.kind == FILE):
        if given.get(field.name):
            try:
                uploads[field.name] = lab.uploads.get(given[field.name])
            except InputError as error:
                raise FieldError(field.name, str(error)) from None
    chosen = next((e for e in page.examples if e.name == example), None)
    if chosen is not None:
        given = {f.name: f.default for f in fields} | dict(chosen.values)
        uploads = {
            field: looked_at(example_file(file), lab.limits) for field, file in chosen.files.items()
        }
    told = answered(fields, given, uploads)
    made = page.command(told, lab.runs)

    def lay(folder: Path) -> None:
        for name, path in told.files.items():
            link_or_copy(path, folder / name)

    kept = {name: value for name, value in given.items() if name not in uploads}
    kept |= {name: upload.id for name, upload in uploads.items()}
    more = (made.module, made.after, made.again)
    return lab.queue.add(page.name, made.arguments, kept, lay, *more)


async def _stop(lab: Lab, request: Request) -> Response:
    lab.queue.stop(job_of(lab, request))
    return answers.data({})


async def _remove(lab: Lab, request: Request) -> Response:
    job = job_of(lab, request)
    if job.state not in ENDED:
        raise InputError("The job is at work; stop it first.")
    await answers.apart(lab.queue.remove, job)
    return answers.data({})


async def _download(lab: Lab, request: Request) -> Response:
    """A file under its result's name, which says nothing of a patient."""
    found = await answers.apart(file_of, lab, request)
    return answers.download(found.path)


async def _slice(lab: Lab, request: Request) -> Response:
    """A slice as PNG: ?axis=2&at=0.5&volume=0&table=magma."""
    found = await answers.apart(file_of, lab, request)
    asked = request.query_params
    try:
        axis, at = int(asked.get("axis", "2")), float(asked.get("at", "0.5"))
        number = int(asked.get("volume", "0"))
    except ValueError:
        raise InputError("A slice is asked for by numbers.") from None
    table = asked.get("table", "")
    if axis not in (0, 1, 2) or not 0 <= at <= 1 or table not in ("", "magma", "viridis"):
        raise InputError("There is no such slice.")
    content = await answers.apart(slice_png, found.path, axis, at, number, table)
    return answers.content(content, answers.PNG)


async def _volume(lab: Lab, request: Request) -> Response:
    """One volume as NIfTI, for the viewer."""
    found = await answers.apart(file_of, lab, request)
    number = request.query_params.get("volume", "0")
    if not number.isdecimal() or len(number) > 5:
        raise InputError("A volume is asked for by its number.")
    content = await answers.apart(as_nifti, found.path, int(number))
    return answers.content(content, answers.BYTES)


async def _report(lab: Lab, request: Request) -> Response:
    return report_answer(lab.queue.folder(job_of(lab, request)))
