"""The page of ``unfog audit``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from unfog.evaluation.estimates import Estimate
from unfog.evaluation.memorisation import Copies, Verdict
from unfog.report import Page, Row
from unfog.report.pictures import shown

LEAD = (
    "Samples that lie nearer to one training item than data do that the model never saw, and "
    "whether its loss tells what it was trained on. This is evidence, not proof: a search that "
    "finds nothing does not show that nothing can be found."
)
WORST, ROW = 20, 10  # pairs that are shown, and pairs in a row


@dataclass(frozen=True)
class Searched:
    """The nearest training items of samples and of held-out data, and the verdict."""

    samples: Copies
    held_out: Copies
    verdict: Verdict

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        flagged = self.verdict.flagged
        return {
            "flagged": int(flagged.sum()),
            "share": float(flagged.double().mean()),
            "by chance": self.verdict.chance,
            "threshold": self.verdict.threshold,
            "flagged samples": flagged.nonzero()[:, 0].tolist(),
            "median ratio of nearest to second": float(self.samples.ratio.median()),
            "that of held-out data": float(self.held_out.ratio.median()),
        }


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Args:
        x: The samples, in [0, 1].
        train: The training data.
        searched: By where was searched.
        area: Of membership by loss, if there is one.
    """

    x: Tensor
    train: Tensor
    searched: Mapping[str, Searched]
    area: Estimate | None


def audit_page(summary: Mapping[str, Any], found: Audit) -> Page:
    """The page of an audit.

    Args:
        summary: What the command prints.
        found: What was found.

    Returns:
        The page: the verdict, the counts, and the worst twenty pairs.
    """
    page = Page("unfog audit", LEAD)
    page.facts(
        [
            ("copies found" if summary["copies"] else "no more than by chance", "the samples"),
            (str(summary["pixels"]["flagged"]), f"of {summary['n']} samples flagged, in pixels"),
            (_area(found.area), "members told by their loss; .5 is chance"),
        ]
    )
    page.section("Samples nearer to one training item than held-out data are")
    page.table(
        ["", "flagged", "share", "so many by chance", "nearest / second", "of held-out data"],
        [_row(name, one.plain()) for name, one in found.searched.items()],
        f"A sample is flagged where its distance to the nearest item, over the mean of the next "
        f"ones, is below that of all but {100 * summary['false alarms allowed']:g} % of "
        f"{summary['held out']} held-out ones. In pixels under flips, shifts of a pixel, and any "
        "contrast and brightness.",
    )
    _more(page, summary)
    if found.x.ndim == 4 and found.x.shape[1] in (1, 3):
        _pairs(page, found)
    plain = {k: v for k, v in summary.items() if k not in found.searched}
    page.provenance(plain, "The audit of this page.")
    return page


def _more(page: Page, summary: Mapping[str, Any]) -> None:
    """Membership by likelihood, extraction and SSCD's similarity, as sentences."""
    likely, again = summary["membership by likelihood"], summary["extraction"]
    page.section("Likelihood, and what is drawn again and again")
    if "auc" in likely:
        told = "{:.3f} ({:.3f} to {:.3f})".format(likely["auc"], *likely["interval"])
        page.text(f"Members told by their likelihood: {told}; .5 is chance.")
    else:
        page.text(f"No membership by likelihood: {likely['left out']}.")
    if "left out" in again:
        page.text(f"No extraction: {again['left out']}.")
    else:
        page.text(
            f"Of {again['conditions']} condition(s) with {again['draws of each']} draws each, "
            f"{again['near-duplicates']} draws have a near-duplicate under the same condition (so "
            f"many by chance: {again['so many by chance']:.3g}), and "
            f"{again['of these near to a training item']} of these lie near to a training item."
        )
    if "SSCD" in summary:
        page.table(
            ["SSCD", "pairs", "copies", "median similarity", "largest"],
            [
                [name, str(one["pairs"]), str(one["copies"]), *_similar(one)]
                for name, one in summary["SSCD"].items()
                if isinstance(one, Mapping)
            ],
            "Of the pairs that are nearest in pixels. A similarity above .5 counts as a copy "
            "(Somepalli et al. 2023), of photographs; of small pictures read it beside held-out "
            "data.",
        )


def _similar(one: Mapping[str, Any]) -> list[str]:
    return [f"{one['median']:.3f}", f"{one['largest'][0]:.3f}"]


def _row(name: str, plain: Mapping[str, Any]) -> list[str]:
    return [
        name,
        str(plain["flagged"]),
        f"{100 * plain['share']:.1f} %",
        f"{plain['by chance']:.3g}",
        f"{plain['median ratio of nearest to second']:.3f}",
        f"{plain['that of held-out data']:.3f}",
    ]


def _area(area: Estimate | None) -> str:
    if area is None:
        return "not measured"
    return "{:.3f} ({:.3f} to {:.3f})".format(area.value, *area.interval)


def _pairs(page: Page, found: Audit) -> None:
    """The samples nearest to one training item, each above it."""
    copies = found.searched["pixels"].samples
    worst = copies.relative.argsort()[:WORST]
    rows = []
    for start in range(0, len(worst), ROW):
        some = worst[start : start + ROW]
        captions = [f"{v:.2f}" for v in copies.relative[some].tolist()]
        rows.append(Row("sample", [shown(p) for p in found.x[some]], captions))
        rows.append(Row("training", [shown(p) for p in found.train[copies.nearest[some]]]))
    page.section("The worst twenty pairs")
    page.pictures(rows, "Below each sample its distance over what is usual: 0 is a copy.")
