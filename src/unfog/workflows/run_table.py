"""``unfog runs``: runs listed, filtered and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files.folder import job
from unfog.report import Line, Page
from unfog.report.terminal_chart import terminal_chart
from unfog.runs.record import Record, differences, find_runs, matching

COLUMNS = ("run", "system", "data", "step", "loss", "seed")
LEAD = "Runs side by side: how they were set, and how their loss went."
BINS = 120  # of a loss curve, each the mean of its steps


def list_runs(root: Path, conditions: Sequence[str] = ()) -> list[Record]:
    """The runs below a folder that meet conditions (``runs.record.matching``)."""
    return matching(find_runs(root), conditions)


def table(records: Sequence[Record]) -> str:
    """Runs as lines of aligned columns."""
    rows = [list(COLUMNS), *(_row(record) for record in records)]
    return _aligned(rows)


def comparison(records: Sequence[Record]) -> str:
    """Runs as text: the list, the settings that differ, and the loss curves in letters."""
    if len(records) < 2:
        raise InputError("A comparison is of two runs or more; widen the conditions.")
    found = differences(records)
    rows = [["", *(record.name for record in records)]]
    rows += [[key, *(_text(v) for v in values)] for key, values in found.items()]
    settings = _aligned(rows) if found else "They differ in no setting."
    chart = terminal_chart(curves(records), log=_positive(records))
    return "\n\n".join([table(records), settings, chart]).rstrip()


def plain(records: Sequence[Record], compared: bool) -> dict[str, Any]:
    """Runs as plain data; with the settings that differ where they are compared."""
    listed = {record.name: record.facts() for record in records}
    return {"runs": listed, **({"differences": differences(records)} if compared else {})}


def write_page(records: Sequence[Record], out: Path) -> dict[str, Any]:
    """Write a comparison into a new folder: report.html and summary.json.

    Args:
        records: The runs.
        out: The new folder.

    Returns:
        The summary.
    """
    with job(out) as work:
        work.write_report(comparison_page(records).html())
        return work.end(plain(records, compared=True))


def comparison_page(records: Sequence[Record]) -> Page:
    """The page of a comparison: loss curves over each other, the settings that differ, the runs."""
    page = Page("unfog runs", LEAD)
    page.section("Loss")
    page.chart(
        curves(records),
        "step",
        "loss",
        f"The mean loss, averaged over up to {BINS} stretches of training.",
        log=_positive(records),
    )
    found = differences(records)
    page.section("Settings that differ")
    if found:
        page.table(
            ["", *(record.name for record in records)],
            [[key, *(_text(v) for v in values)] for key, values in found.items()],
            "Settings that all share are left out.",
        )
    else:
        page.text("They differ in no setting.")
    page.section("Runs")
    machines = [record.machine for record in records]
    versions = sorted({key for machine in machines for key in machine})
    page.table(
        [*COLUMNS, "skipped steps", *versions],
        [
            [*_row(r), str(r.skipped), *(_text(r.machine.get(key, "")) for key in versions)]
            for r in records
        ],
        "Loss is the mean of the last twentieth of the log.",
    )
    return page


def curves(records: Sequence[Record]) -> list[Line]:
    """The loss curve of each run, in stretches of training."""
    lines = []
    for record in records:
        size = -(-len(record.losses) // BINS) or 1
        starts = range(0, len(record.losses), size)
        means = [_mean(record.losses[k : k + size]) for k in starts]
        lines.append(Line([_mean(record.steps[k : k + size]) for k in starts], means, record.name))
    return lines


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _positive(records: Sequence[Record]) -> bool:
    """Whether every loss is above zero, so that its axis can be logarithmic."""
    return all(loss > 0 for record in records for loss in record.losses)


def _row(record: Record) -> list[str]:
    facts = record.facts()
    step = f"{facts['step']}/{facts['steps']}"
    rest = ("system", "data"), ("loss", "seed")
    before, after = ([_text(facts[key]) for key in keys] for keys in rest)
    return [record.name, *before, step, *after]


def _text(value: Any) -> str:
    """A value in a table."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, columns aligned."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    )
