"""The pages, each a module: its form, its command and its view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from unfog.lab.form import Field, field_of
from unfog.lab.job import DONE, FAILED, Job, progress_of, result_of
from unfog.lab.page import Page
from unfog.lab.pages import audit, compare, dmri, noise, restore, runs, sample
from unfog.lab.results import listing

if TYPE_CHECKING:
    from unfog.lab.server import Lab

PAGES: dict[str, Page] = {
    p.name: p
    for p in (restore.PAGE, dmri.PAGE, sample.PAGE, noise.PAGE, runs.PAGE, compare.PAGE, audit.PAGE)
}


def navigation() -> list[tuple[str, str]]:
    """(address, title) of every page."""
    return [*((p.name, p.title) for p in PAGES.values()), ("jobs", "Jobs")]


def add(route: Callable[..., None]) -> None:
    """Add the addresses of pages that have more than a form."""
    runs.add(route)


def shown(lab: Lab, page: Page, fields: Sequence[Field], job: Job | None) -> dict[str, Any]:
    """What a template shows of a job: its state, what went wrong beside which field, its files."""
    blank: dict[str, Any] = {
        "job": None,
        "result": None,
        "files": [],
        "view": {},
        "wrong": {},
        "progress": None,
    }
    if job is None:
        return blank | dict(page.more(lab, None))
    folder = lab.queue.folder(job)
    done = job.state == DONE
    wrong = {}
    if job.state == FAILED:
        wrong = {field_of(job.sentence, fields): job.sentence}
    return {
        "job": job,
        "result": result_of(folder) if done else None,
        "files": listing(folder) if done else [],
        "view": dict(page.view(job, folder)) if done else {},
        "wrong": wrong,
        "progress": progress_of(folder),
        **page.more(lab, job),
    }
