"""What a page is made of: a form, the command it makes, and the view of a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfog.lab.examples import Example
from unfog.lab.form import Answers, Field
from unfog.lab.job import Job
from unfog.lab.runs_folder import RunsFolder


@dataclass(frozen=True)
class Made:
    """What a form's answers make.

    Args:
        arguments: The command line after ``unfog``.
        module: Whose arguments they are.
        after: A module that is run on the results.
        again: What is added when the job was interrupted and begins once more.
    """

    arguments: Sequence[str]
    module: str = "unfog"
    after: str = ""
    again: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """A page with a form.

    Args:
        name: Of its address.
        title: Its heading.
        lead: One sentence below it.
        submit: What its button says.
        fields: The questions, which may depend on the runs there are.
        command: The command line of answers.
        view: What its template shows of a job that has ended well, by the job's folder.
        examples: The shipped examples.
        template: The file of its template; by its name without.
        more: What its template shows besides, of the lab and the job at hand.
    """

    name: str
    title: str
    lead: str
    submit: str
    fields: Callable[[RunsFolder], Sequence[Field]]
    command: Callable[[Answers, RunsFolder], Made]
    view: Callable[[Job, Path], Mapping[str, Any]]
    examples: Sequence[Example] = ()
    template: str = ""
    more: Callable[[Any, Job | None], Mapping[str, Any]] = lambda lab, job: {}
