"""The page of ``unfog evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from unfog.evaluation.estimates import Estimate
from unfog.evaluation.judgement import Judgement
from unfog.evaluation.spectrum import radial_spectrum
from unfog.report import Line, Page, Row
from unfog.report.pictures import shown
from unfog.workflows.judged import Judged
from unfog.workflows.restore_report import planes

LEAD = (
    "Every figure stands beside its floor: what real samples score in the place of generated ones, "
    "at the same number. A figure at its floor cannot be told from real by this measure."
)
PAIRED = "Each picture beside its truth."
NAMES: Mapping[str, str] = {
    "frechet": "Fréchet distance",
    "kid": "kernel distance (KID)",
    "sliced wasserstein": "sliced Wasserstein distance",
    "precision": "precision: samples among the real ones",
    "recall": "recall: real ones among the samples",
    "density": "density",
    "coverage": "coverage: real ones with a sample near",
    "spectrum": "distance of log spectra",
}
MOST = 8  # pictures in a row


@dataclass(frozen=True)
class Nearest:
    """The real samples nearest to some generated ones.

    Args:
        rows: Numbers of the generated ones, (s,).
        distance: Of the nearest real ones, (s, k).
        number: Of each in the reference, (s, k).
    """

    rows: Tensor
    distance: Tensor
    number: Tensor


@dataclass(frozen=True)
class Paired:
    """Pictures (n, channels, *space) in [0, 1], the truth of each, and figures of each, (n,)."""

    x: Tensor
    truth: Tensor
    psnr: Tensor
    ssim: Tensor | None
    lpips: Tensor | None


def page(summary: Mapping[str, Any], found: Judgement, sets: Judged, near: Nearest) -> Page:
    """The page of samples beside real ones.

    Args:
        summary: What the command prints.
        found: The figures.
        sets: The samples.
        near: The real samples nearest to some.

    Returns:
        The page.
    """
    made = Page("unfog evaluate", LEAD)
    made.facts(
        [
            (f"{found.n}", "samples"),
            (f"{found.reference}", "real samples to compare with"),
            (summary["features"], "the features"),
        ]
    )
    made.section("Figures")
    made.table(
        ["", "value", "95 % interval", "floor", "its interval"],
        [
            [NAMES[k], *_cells(figure.generated), *_cells(figure.floor)]
            for k, figure in found.figures.items()
        ],
        "Intervals are of the samples alone: by the bootstrap, for the Fréchet distance by its "
        "first order, for the kernel distance by blocks. Another seed of training is not in them.",
    )
    if bits := summary.get("bits per dimension"):
        low, high = bits["interval"]
        kind = "at most, by the evidence bound" if bits["a bound"] else "by the likelihood"
        made.text(
            f"Bits per dimension of {bits['n']} real samples in 256 bins of the data's range, "
            f"{kind}: {bits['value']:.3f} ({low:.3f} to {high:.3f})."
        )
    if found.left_out:
        made.text(*(f"No {NAMES[k]}: {why}." for k, why in found.left_out.items()))
    if sets.generated.ndim > 3 and sets.generated.shape[1] in (1, 3):
        _pictures(made, sets, near)
    if "spectrum" in found.figures:
        _spectra(made, sets)
    made.provenance({k: v for k, v in summary.items() if k != "figures"}, "The run of this page.")
    return made


def paired_page(summary: Mapping[str, Any], found: Paired) -> Page:
    """The page of pictures beside their truth.

    Args:
        summary: What the command prints.
        found: The pairs.

    Returns:
        The page: the worst pairs by PSNR are shown.
    """
    made = Page("unfog evaluate --paired", PAIRED)
    made.section("Figures")
    made.table(
        ["", "mean", "95 % interval"],
        [
            [name, f"{one['value']:.4g}", "{:.4g} to {:.4g}".format(*one["interval"])]
            for name, one in summary["figures"].items()
        ],
        f"Of {summary['n']} pairs; intervals by the bootstrap.",
    )
    if found.x.ndim == 4 and found.x.shape[1] in (1, 3):
        worst = found.psnr.argsort()[:MOST]
        made.section("The worst by PSNR")
        made.pictures(
            [
                Row("truth", [shown(p) for p in found.truth[worst]]),
                Row(
                    "restored",
                    [shown(p) for p in found.x[worst]],
                    [f"{v:.1f} dB" for v in found.psnr[worst].tolist()],
                ),
            ],
            "On the range of the data.",
        )
    if left := summary.get("left_out"):
        made.text(*(f"No {name}: {why}." for name, why in left.items()))
    said = ("figures", "left_out")
    made.provenance({k: v for k, v in summary.items() if k not in said}, "The run of this page.")
    return made


def _cells(estimate: Estimate) -> list[str]:
    low, high = estimate.interval
    return [f"{estimate.value:.4g}", f"{low:.4g} to {high:.4g}"]


def _pictures(made: Page, sets: Judged, near: Nearest) -> None:
    """Some samples above the real ones nearest to them."""
    rows = [Row("sample", [shown(p) for p in planes(sets.generated[near.rows])[:MOST]])]
    for k, name in zip(range(near.number.shape[1]), ("nearest", "second"), strict=False):
        pictures = planes(sets.reference[near.number[:, k]])[:MOST]
        flat = sets.generated.ndim == 4
        captions = [f"{d:.3g}" for d in near.distance[:, k].tolist()] if flat else []
        rows.append(Row(name, [shown(p) for p in pictures], captions))
    made.section("Samples, and the real ones nearest to each")
    made.pictures(rows, "Nearest in the features; below each its distance.")


def _spectra(made: Page, sets: Judged) -> None:
    """The mean radial spectra."""
    lines = []
    for x, label in ((sets.reference, "real"), (sets.generated, "generated")):
        power = radial_spectrum(x).mean(0).clamp(min=1e-30).log10().tolist()
        lines.append(Line([float(k + 1) for k in range(len(power))], power, label))
    made.section("Spectra")
    made.chart(lines, "waves across the picture", "log10 power", "Mean radial spectra.")
