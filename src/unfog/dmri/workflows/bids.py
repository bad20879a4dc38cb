"""``unfog dmri`` on every scan of a BIDS data set, whose results are a data set of derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unfog.dmri.workflows.bids_derivatives import description, move_results
from unfog.dmri.workflows.bids_groups import Group, Grouping, alone
from unfog.dmri.workflows.tables import Tables
from unfog.errors import InputError
from unfog.files.bids import DESCRIPTION, DataSet, read_bids
from unfog.files.folder import job
from unfog.files.names import names_kept
from unfog.files.output import write_bytes, write_json
from unfog.progress import progress

T = TypeVar("T")
# What the rules of BIDS 1.10 for derivatives do not know yet: reports, maps of the draft for
# diffusion models, and tables beside series that have a desc.
IGNORED = b"*.html\n*_dwimap.*\n*.bval\n*.bvec\n"
# (scan, its tables, new folder[, phase=, phase_unit=]) -> the summary of what was written there
Work = Callable[..., dict[str, Any]]


def each_scan(
    source: Path,
    tables: Tables,
    out: Path,
    work: Work,
    *,
    command: str,
    of_one: object = None,
    subjects: Sequence[str] | None = None,
    sessions: Sequence[str] | None = None,
    grouping: Grouping = alone,
) -> dict[str, Any]:
    """Process a scan, or each scan of a BIDS data set; called by the commands of ``unfog dmri``.

    A scan without diffusion weighting is left out. A failure on the way leaves nothing.

    Args:
        source: A scan, or the folder of a BIDS data set.
        tables: The scan's tables; for a data set only their layout.
        out: The new folder, or the new data set of derivatives.
        work: What to do with one scan.
        command: The command's name, for the data set's description.
        of_one: What the user gave that goes with one scan, refused for a data set.
        subjects: Labels of the subjects of a data set to process; all by default.
        sessions: Labels of the sessions to process; all by default.
        grouping: Which scans of a data set are one series, and whether with their phases.

    Returns:
        What the command prints.

    Raises:
        InputError: An option does not go with the source, or a scan cannot be processed.
    """
    if not source.is_dir():
        if subjects or sessions:
            raise InputError(
                f"{source.name} is one scan; --subject and --session choose among those of a "
                "BIDS data set."
            )
        return work(source, tables, out)
    if any((tables.bvals, tables.bvecs, tables.grad, of_one)):
        raise InputError(
            "A BIDS data set brings its own tables and phases; leave --bvals, --bvecs, --grad, "
            "--mask, --phase, --norf, --noise-map, --acqp and --index out."
        )
    with job(out) as whole:
        data_set = read_bids(source, subjects or (), sessions or ())
        groups, left = weighted_groups(data_set, tables, grouping)
        summaries: dict[str, dict[str, Any]] = {}
        for k, group in enumerate(groups):
            with progress("scans") as report:
                report(k + 1, len(groups))
            summary = process(group, tables, work, whole.folder, whole.folder)
            summaries |= {scan.stem: summary for scan in group.scans}
        write_description(whole.folder, data_set, out, command)
        warnings = {stem: one["warnings"] for stem, one in summaries.items() if one["warnings"]}
        return whole.result({"scans": len(summaries), "left out": left, "warnings": warnings})


def weighted_groups(
    data_set: DataSet, tables: Tables, grouping: Grouping
) -> tuple[list[Group], list[str]]:
    """The groups of a data set that have diffusion weighting, and the names of the scans that are
    in none; all tables are read.

    Args:
        data_set: The scans.
        tables: How to read their tables.
        grouping: Which scans are one series.

    Returns:
        The groups and the names.

    Raises:
        InputError: A table cannot be read, or no scan has diffusion weighting.
    """
    groups = grouping(data_set.scans)
    weighted = [group for group in groups if not _without_weighting(group, tables)]
    if not weighted:
        raise InputError(
            f"No scan of {data_set.root} has diffusion weighting; check its .bval files."
        )
    return weighted, [
        scan.stem for group in groups if group not in weighted for scan in group.scans
    ]


def process(
    group: Group, tables: Tables, work: Work, scratch: Path, folder: Path
) -> dict[str, Any]:
    """Process a group, and move its results into a data set of derivatives.

    Args:
        group: The scans.
        tables: How to read their tables.
        work: What to do with them.
        scratch: A folder for what is on its way, on the same disk.
        folder: The data set.

    Returns:
        The summary.

    Raises:
        InputError: A file of a scan, which is named, cannot be processed.
    """
    joined = scratch / "joined"
    joined.mkdir()
    inputs = _named(group, lambda: group.series(joined, tables))
    one = partial(work, inputs.dwi, inputs.tables, scratch / "work", **inputs.phase)
    summary = _named(group, one)
    if inputs.counts:
        names = [scan.path.name for scan in group.scans]
        roles = [f"input {k + 1}" for k in range(len(names))]
        summary["input"] = names if names_kept() else roles
    move_results(scratch / "work", folder, group, inputs, summary)
    for file in joined.iterdir():
        file.unlink()
    joined.rmdir()
    return summary


def write_description(folder: Path, data_set: DataSet, out: Path, command: str) -> None:
    """Write what makes a folder a data set of derivatives.

    Args:
        folder: The folder as it is now.
        data_set: The scans that it is made of.
        out: The folder as it will be.
        command: What makes it.
    """
    write_json(folder / DESCRIPTION, description(data_set, out, command))
    write_bytes(folder / ".bidsignore", IGNORED)


def _without_weighting(group: Group, tables: Tables) -> bool:
    return all(bool(one.read(np.eye(4)).b0.all()) for one in group.tables(tables))


def _named(group: Group, do: Callable[[], T]) -> T:
    """The result of ``do``; its error gets the scan's name."""
    try:
        return do()
    except InputError as error:
        if any(scan.stem in str(error) for scan in group.scans):
            raise
        raise InputError(f"{group.name}: {error}") from error
