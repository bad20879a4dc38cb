"""A new folder of results, written complete or not at all: every command that writes one works
inside ``job``.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files.names import Roles
from unfog.files.output import write_json, write_text
from unfog.progress import Reporter, progress


class Job:
    """The work of one command, which ends in a new folder; made by ``job``.

    What it writes has roles, such as "input 1", in place of the names of its inputs. Nothing is on
    disk before ``folder`` is asked for, so bad input leaves no trace.
    """

    def __init__(self, out: Path, stack: ExitStack, inputs: Iterable[Path | None] = ()) -> None:
        self._out = out
        self._roles = Roles(inputs)
        self._stack = stack
        self._bar = ExitStack()  # the progress bar of the stage at work
        self._begun = time.perf_counter()
        stack.callback(self._bar.close)

    @cached_property
    def folder(self) -> Path:
        """Where to write; it becomes the output folder when the job has ended well."""
        return self._stack.enter_context(new_folder(self._out))

    def progress(self, title: str) -> Reporter:
        """A reporter of the next stage of the work; the stage before has ended."""
        self._bar.close()
        return self._bar.enter_context(progress(title))

    def write_report(self, html: str) -> None:
        """Write ``report.html``."""
        write_text(self.folder / "report.html", self._roles.hide_in_page(html))

    def hide(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """A summary without the names of the inputs, for the report."""
        return dict(self._roles.hide(summary))

    def end(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """Write ``summary.json``.

        Args:
            summary: The facts of the work, as plain data.

        Returns:
            What the command prints: the summary between the folder and the seconds it took.
        """
        write_json(self.folder / "summary.json", self.hide(summary))
        return self.result(summary)

    def result(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """What the command prints: the summary between the folder and the seconds it took."""
        seconds = round(time.perf_counter() - self._begun, 1)
        return {"out": str(self._out), **self.hide(summary), "seconds": seconds}


@contextmanager
def job(out: Path, *inputs: Path | None) -> Iterator[Job]:
    """The frame of every command that writes a folder.

    ``out`` must be new. What is written into the job's ``folder`` becomes ``out`` in one rename at
    the end of the block, and vanishes when the block fails.

    Args:
        out: The new folder.
        *inputs: The files and folders that are read, whose names are not told.

    Yields:
        The job, with the folder to write into, progress, the report and the summary.
    """
    check_new(out)
    with ExitStack() as stack:
        yield Job(out, stack, inputs)


def check_new(out: Path) -> None:
    """``InputError`` where ``out`` holds something already, or lies below a file."""
    file = next((parent for parent in out.parents if parent.is_file()), None)
    if file is not None:
        raise InputError(f"{file} is a file, in which {out.name} cannot be made; choose another.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not empty; choose another folder.")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``out`` when the block ends well, and vanishes when it
    fails.
    """
    check_new(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".unfog-") as scratch:
        folder = Path(scratch) / "new"
        folder.mkdir()
        yield folder
        if out.exists():
            out.rmdir()
        os.rename(folder, out)
