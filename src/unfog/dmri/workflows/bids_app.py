"""``unfog bids``: a BIDS App (Gorgolewski et al. 2017) that denoises the diffusion scans of
participants into one data set of derivatives, which may hold those of others already.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unfog.dmri.workflows.bids import Work, process, weighted_groups, write_description
from unfog.dmri.workflows.bids_derivatives import finished
from unfog.dmri.workflows.bids_groups import Grouping, fitting_together
from unfog.dmri.workflows.tables import Tables
from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.bids import DESCRIPTION, read_bids
from unfog.progress import progress


def participant_level(
    source: Path,
    out: Path,
    work: Work,
    *,
    command: str,
    subjects: Sequence[str] = (),
    sessions: Sequence[str] = (),
    grouping: Grouping = fitting_together,
) -> dict[str, Any]:
    """Process the scans of participants that are not finished yet.

    A scan that fails leaves nothing of itself, and the others are done.

    Args:
        source: The data set.
        out: The data set of derivatives, new or begun by the same command.
        work: What to do with one series.
        command: The command with the options that change results, by which it is known again.
        subjects: Labels of the participants; all by default.
        sessions: Labels of the sessions; all by default.
        grouping: Which scans are one series.

    Returns:
        What the command prints.

    Raises:
        InputError: The data set or an option is wrong, or scans could not be processed.
    """
    tables = Tables()
    data_set = read_bids(source, subjects, sessions)
    groups, left = weighted_groups(data_set, tables, grouping)
    begun = _begun(out, command)
    out.mkdir(parents=True, exist_ok=True)
    if not begun:
        write_description(out, data_set, out, command)
    waiting = [group for group in groups if not finished(out, group)]
    failed: list[str] = []
    for k, group in enumerate(waiting):
        with progress("scans") as report:
            report(k + 1, len(waiting))
        with tempfile.TemporaryDirectory(dir=out, prefix=".unfog-") as scratch:
            try:
                process(group, tables, work, Path(scratch), out)
            except InputError as error:
                failed.append(str(error))
    if failed:
        raise InputError(
            f"{len(failed)} of {len(waiting)} series failed, and the others are done: "
            f"{' '.join(failed)}"
        )
    done = [scan.stem for group in waiting for scan in group.scans]
    skipped = [scan.stem for group in groups if group not in waiting for scan in group.scans]
    return {"out": str(out), "done": done, "finished before": skipped, "left out": left}


def _begun(out: Path, command: str) -> bool:
    """Whether a folder holds results of the command; `InputError` where it holds something else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / DESCRIPTION).is_file():
        raise InputError(f"{out} exists and is no data set of derivatives; choose another folder.")
    try:
        said = json_text.read(out / DESCRIPTION)["GeneratedBy"][0]
        by = said["Description"] if said["Name"] == "unfog" else said["Name"]
    except (ValueError, KeyError, IndexError, TypeError):
        by = "something else"
    if by != command:
        raise InputError(
            f"{out} was made by {by}, and this is {command}; choose another folder, or the same "
            "options."
        )
    return True
