"""The page of ``unfog evaluate --posterior``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unfog.evaluation.conformal import LEVEL
from unfog.evaluation.posterior_calibration import Calibration, Drawn
from unfog.evaluation.ranks import Uniformity
from unfog.report import Line, Page, Row
from unfog.report.pictures import shown

LEAD = (
    "Truths are drawn from the prior and measured, and the posterior of each measurement is drawn "
    "from. Were the draws of the true posterior, a truth would be one draw among them."
)
STEIN = (
    "The kernel Stein discrepancy compares draws with the posterior's score, which the prior's "
    "denoiser and the likelihood give. It is 0 for the true posterior and 1 were all draws one. "
    "Its floor is that of the truths, which are of the posterior wherever the prior is right."
)
SHOWN = 6


def page(summary: Mapping[str, Any], found: Calibration, drawn: Drawn) -> Page:
    """The page of a check.

    Args:
        summary: What figures.json holds.
        found: The figures.
        drawn: Truths and draws.

    Returns:
        The page.
    """
    made = Page("unfog evaluate --posterior", LEAD)
    at, covered = found.curve.nearest(LEVEL)
    made.facts(
        [
            (f"{found.n} x {found.draws}", "truths and draws"),
            (f"{found.p:.2g}", "p-value of uniform ranks"),
            (f"{100 * covered.value:.1f} %", f"of truths in {100 * at:.0f} % intervals"),
        ]
    )
    _curve(made, found)
    _ranks(made, found.tests)
    _figures(made, found)
    _pictures(made, drawn)
    left = ("rank tests", "coverage curve", "coverage", "score-KSD", "error over spread")
    made.provenance({k: v for k, v in summary.items() if k not in left}, "The run of this page.")
    return made


def _curve(made: Page, found: Calibration) -> None:
    """Coverage by level, with its interval."""
    levels = found.curve.levels
    bounds = [c.interval for c in found.curve.covered]
    made.section("Coverage")
    made.chart(
        [
            Line([0.0, 1.0], [0.0, 1.0], "true posterior", faint=True),
            Line(levels, [c.value for c in found.curve.covered], "covered"),
            Line(levels, [low for low, _ in bounds], "95 % interval", faint=True),
            Line(levels, [high for _, high in bounds], "", faint=True),
        ],
        "level of the central interval",
        "share of values inside",
        "Coverage of intervals by their level. Below the diagonal draws are too narrow or off, "
        "above it too wide.",
    )


def _ranks(made: Page, tests: Mapping[str, Uniformity]) -> None:
    """Ranks of each quantity, and the tests."""
    made.section("Ranks of the truth among its draws")
    lines = []
    for name, test in tests.items():
        total, bins = sum(test.counts), len(test.counts)
        share = [count * bins / total for count in test.counts]
        lines.append(Line([(k + 0.5) / bins for k in range(bins)], share, name))
    first = lines[:4]
    made.chart(
        [Line([0.0, 1.0], [1.0, 1.0], "uniform", faint=True), *first],
        "rank",
        "density",
        "Density of ranks. A valley says too narrow, a hill too wide, a slope off to one side.",
    )
    made.table(
        ["quantity", "chi squared", "degrees of freedom", "p"],
        [
            [name, f"{test.statistic:.3g}", f"{len(test.counts) - 1}", f"{test.p:.3g}"]
            for name, test in tests.items()
        ],
        "The p-value above is the smallest, times the number of tests.",
    )


def _figures(made: Page, found: Calibration) -> None:
    """Stein's discrepancy and the error over the spread."""
    rows = [["root mean square error over spread", *_cells(found.error), "1"]]
    if found.stein is not None:
        floor = found.stein.truths
        low, high = floor.interval
        between = f"{floor.value:.3g} ({low:.2g} to {high:.2g})"
        rows.append(["score-KSD, squared", *_cells(found.stein.draws), between])
    made.section("The spread, and the score", STEIN)
    made.table(
        ["", "value", "95 % interval", "of the true posterior"], rows, "Intervals are over truths."
    )


def _pictures(made: Page, drawn: Drawn) -> None:
    """Some truths, and draws of each."""
    if drawn.truth.ndim != 4 or drawn.truth.shape[1] not in (1, 3):
        return
    some = drawn.draws[:SHOWN]
    made.section("Some truths, and draws of their posterior")
    rows = [("truth", drawn.truth[:SHOWN]), ("mean of draws", some.mean(1))]
    rows += [(f"draw {k + 1}", some[:, k]) for k in range(2)]
    made.pictures(
        [Row(name, [shown((p / 2 + 0.5).clamp(0, 1)) for p in x]) for name, x in rows],
        "On the range of the data.",
    )


def _cells(estimate: Any) -> list[str]:
    low, high = estimate.interval
    return [f"{estimate.value:.3g}", f"{low:.3g} to {high:.3g}"]
