"""The page of ``unfog augment-study``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unfog.report import Line, Page, Row
from unfog.report.pictures import shown
from unfog.workflows.augment_arms import CLASSICAL, REAL
from unfog.workflows.augment_pool import Labelled
from unfog.workflows.restore_report import planes

LEAD = (
    "Networks of one size, trained for as many steps on few real pictures, on those with classical "
    "augmentation, and on those with synthetic pictures for their labels; all scored on real ones."
)


def study_page(summary: Mapping[str, Any], real: Labelled, drawn: Labelled) -> Page:
    """The page of a study.

    Args:
        summary: What the command prints.
        real: Some labelled pictures.
        drawn: One that was drawn for the label of each.

    Returns:
        The page: scores, gains, pictures.
    """
    page, score = Page("unfog augment-study", LEAD), summary["score"]
    page.facts([(_verdict(one), f"{count} labels") for count, one in summary["labels"].items()])
    if summary["run was trained on"]:
        page.text(
            f"The run was trained on {summary['run was trained on']} labelled pictures. What they "
            "taught it comes with its pictures, which the arms without them never saw; a fair "
            "test of synthesis alone trains the run on the few labelled pictures."
        )
    page.section(score[:1].upper() + score[1:])
    page.chart(
        _lines(summary["labels"]),
        "synthetic pictures a real one",
        score,
        "A curve for each number of labels; 0 is real pictures alone.",
    )
    for count, one in summary["labels"].items():
        page.table(
            ["", score, "over real", "over classical"],
            [
                [arm, *(_cell(cell.get(k)) for k in ("score", "over real", "over classical"))]
                for arm, cell in one["arms"].items()
            ],
            f"{count} labels: means over {summary['seeds']} choices, with 95 % intervals.",
        )
    page.section("Pictures")
    rows = {"real": real, "drawn for the same label": drawn}
    page.pictures(
        [Row(name, [shown(p) for p in planes(part.x)]) for name, part in rows.items()],
        "The first labelled pictures, not chosen. Masks are moved before a picture is drawn.",
    )
    rest = {k: v for k, v in summary.items() if k != "labels"}
    page.provenance(rest, "The study of this page.")
    return page


def _verdict(one: Mapping[str, Any]) -> str:
    """What synthetic pictures do for one number of labels."""
    helps, hurts = one["helps from"], one["hurts from"]
    said = [] if helps is None else [f"help from ratio {helps:g}"]
    said += [] if hurts is None else [f"hurt from ratio {hurts:g}"]
    return ", ".join(said) or "no clear difference"


def _lines(labels: Mapping[str, Any]) -> Sequence[Line]:
    lines = []
    for count, one in labels.items():
        arms = {a: c["score"]["mean"] for a, c in one["arms"].items()}
        drawn = {float(a.rpartition(" ")[2]): v for a, v in arms.items() if a.startswith("synth")}
        x = [0.0, *drawn]
        lines.append(Line(x, [arms[REAL], *drawn.values()], f"{count} labels"))
        lines.append(
            Line([0.0, max(drawn)], [arms[CLASSICAL]] * 2, f"{count}, classical", faint=True)
        )
    return lines


def _cell(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "-"
    inside = "" if one["interval"] is None else " ({:.3f} to {:.3f})".format(*one["interval"])
    return f"{one['mean']:.3f}{inside}"
