"""The demo's report, from figures and pictures of the run that writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from unfog.data.builtin.mni import GAP, SLABS
from unfog.demo.figure import COLUMNS, row_of, spread
from unfog.demo.live import Live
from unfog.demo.prior import Drawn, Strip
from unfog.demo.restore import Outcome
from unfog.demo.tasks import Slab
from unfog.demo.words import Worded
from unfog.evaluation.conformal import LEVEL
from unfog.report import Line, Page, Row, colour, grey
from unfog.report.pictures import Picture, shown

LEAD = (
    "A diffusion model learned, drew new slices of a brain, and restored slices it had never "
    "seen, on this machine."
)


def greys(stack: Tensor) -> list[Picture]:
    """The pictures of a stack (n, 1, rows, columns) with values in [0, 1]."""
    return [grey(x[0]) for x in stack]


def build(
    forward: Strip,
    reverse: Strip,
    live: Live,
    drawn: Drawn,
    worded: Worded,
    slab: Slab,
    outcomes: Sequence[Outcome],
    facts: Mapping[str, Any],
) -> Page:
    """The whole report.

    Args:
        forward: A slice at growing noise.
        reverse: A sample on its way from noise.
        live: The live training.
        drawn: New slices of the prior.
        worded: Pictures by words.
        slab: The slices that were restored.
        outcomes: Their restorations, one of each task.
        facts: The facts at the foot of the page.

    Returns:
        The page.
    """
    page = Page("unfog demo", LEAD)
    covered = " / ".join(f"{100 * o.covered:.0f}" for o in outcomes)
    gains = [(f"{o.gain:+.1f} dB", f"{o.task.title}, against the best baseline") for o in outcomes]
    page.facts([*gains, (f"{covered} %", "of truths within the 90 % intervals")])
    _caution(page, slab)
    _processes(page, forward, reverse)
    _live(page, live)
    _samples(page, drawn)
    _words(page, worded)
    _restorations(page, slab, outcomes)
    _table(page, outcomes)
    _made(page, facts)
    return page


def _caution(page: Page, slab: Slab) -> None:
    """What the figures do not show."""
    low, high = SLABS["test"]
    page.warning(
        "What these figures are about",
        "All slices come from one brain, the MNI152 template, an average of many people and "
        "exactly left-right symmetric. "
        f"The restorations are of its axial slices at {low} to {high} mm (MNI z), the slab "
        "around the lateral ventricles; that slab "
        f"and {GAP} mm on each side of it were held out of all training. This is a held-out slab "
        "of an average brain: it says nothing of new subjects, of disease, or of clinical use.",
        "The baselines had their parameters chosen on the truth itself, which nobody has in "
        "practice; the model did not.",
    )


def _processes(page: Page, forward: Strip, reverse: Strip) -> None:
    """The forward and the reverse process as rows of pictures."""
    page.section(
        "The forward process",
        "A slice of the template, with ever more noise added until nothing of it is left.",
    )
    levels = [f"σ = {level:g}" for level in forward.levels]
    page.pictures(
        [Row("", greys(forward.states), levels)],
        "x = slice + σ noise. Each picture is shown on its own scale, divided by √(1 + σ²).",
    )
    page.section(
        "The reverse process",
        "A new slice forms out of noise. At each step the model says what it takes the clean "
        "slice to be.",
    )
    assert reverse.estimates is not None
    columns = [f"σ = {level:.2g}" for level in reverse.levels]
    rows = [
        Row("state", greys(reverse.states)),
        Row("the model's estimate", greys(reverse.estimates)),
    ]
    page.pictures(
        rows,
        "One of the samples below on its way: the state above, the posterior mean of the clean "
        "slice beneath.",
        columns,
    )


def _live(page: Page, live: Live) -> None:
    """The samples during the live training, and its loss."""
    rows, columns = live.shape[1:]
    last = live.moments[-1]
    page.section(
        "Learning, live",
        f"A network of {live.parameters / 1e6:.1f} million parameters was trained in this run "
        f"for {live.seconds:.0f} seconds "
        f"({len(live.losses)} steps) on slices of {rows} x {columns}. Each row is drawn from the "
        "same noise.",
    )
    names = [f"{m.seconds:.0f} s, {m.step} steps" for m in live.moments]
    page.pictures(
        [Row(name, greys(m.samples)) for name, m in zip(names, live.moments, strict=True)],
        "Samples as the training went on.",
        largest=150,
    )
    steps = np.arange(1, len(live.losses) + 1)
    marks = [(m.step, f"{m.seconds:.0f} s") for m in live.moments if m is not last]
    curves = [
        Line(steps.tolist(), list(live.losses), "loss of a step", faint=True),
        Line(steps.tolist(), smooth(live.losses), "running mean"),
    ]
    page.chart(
        curves,
        "step",
        "loss",
        "The training loss: each step, faint, and a running mean; dotted, the moments above.",
        log=True,
        marks=marks,
    )


def smooth(values: Sequence[float], span: int = 25) -> list[float]:
    """An exponential running mean over about ``span`` values, m_k = s_k / w_k with
    s_k = (1 - 1 / span) s_(k-1) + v_k and w_k likewise of ones, so without bias at the start.
    """
    keep = 1 - 1 / span
    total = weight = 0.0
    means = []
    for value in values:
        total = keep * total + value
        weight = keep * weight + 1
        means.append(total / weight)
    return means


def _samples(page: Page, drawn: Drawn) -> None:
    """New slices, each over the training slice nearest to it."""
    near = float(drawn.distances.mean())
    page.section(
        "New slices",
        f"{len(drawn.samples)} slices drawn from the prior that comes with the package, each "
        "over the training slice nearest to it. "
        f"They lie {near:.3f} from it on average (root mean square, white is 1); a training "
        f"slice lies {drawn.between:.3f} from its "
        "own nearest, 1 mm away.",
    )
    rows = []
    for first in range(0, len(drawn.samples), 8):
        part = slice(first, first + 8)
        captions = [f"{d:.3f}" for d in drawn.distances[part].tolist()]
        rows += [
            Row("new", greys(drawn.samples[part])),
            Row("nearest in training", greys(drawn.nearest[part]), captions),
        ]
    page.pictures(
        rows, "Samples, none of them chosen, and how far each is from the nearest training slice."
    )


def _words(page: Page, worded: Worded) -> None:
    """Pictures with the prompts that they were drawn by."""
    page.section(
        "Pictures by words",
        f"The prior {worded.prior} learned 2796 emoji with their names. Each picture is drawn from "
        f"noise by its prompt, under guidance {worded.guidance:g}.",
    )
    rows = []
    for first in range(0, len(worded.prompts), 8):
        part = slice(first, first + 8)
        pictures = [shown(x) for x in worded.pictures[part]]
        rows.append(Row("", pictures, list(worded.prompts[part])))
    page.pictures(rows, "One sample of each prompt, none of them chosen.")


def _restorations(page: Page, slab: Slab, outcomes: Sequence[Outcome]) -> None:
    """A section for each task, with a row of pictures for each slice."""
    explained = {
        "denoise": "Rician noise of 0.08 (white is 1), as in magnitude images of a scanner.",
        "inpaint": "Stripes across the whole picture are missing: {share:.0f} % of it. Scored in "
        "the holes, inside the brain.",
        "superres": "Each 4 x 4 block of pixels was measured as its mean. Scored inside the brain.",
    }
    for o in outcomes:
        share = 100 * getattr(o.task, "share", 0.0)
        page.section(o.task.title, explained[o.task.name].format(share=share))
        rows = []
        for i, height in enumerate(slab.heights):
            error = colour((o.restored.mean - slab.x)[i, 0].abs(), 0, 2 * spread(o))
            captions = ["", *(f"{float(s.psnr[i]):.2f} dB" for s in (o.baseline, o.ours))]
            rows.append(Row(f"{height:.0f} mm", [*row_of(o, slab.x, i), error], captions))
        caption = (
            f"The best of {o.task.rivals}: {name_of(o)}. Restored: {o.task.estimated}. "
            "Uncertainty: the standard deviation of "
            f"{o.restored.samples.shape[1]} posterior samples, scaled as said below, bright at "
            f"{spread(o):.2f}; error: the absolute "
            f"difference from the truth, bright at {2 * spread(o):.2f}."
        )
        page.pictures(rows, caption, [*COLUMNS, "error"], largest=150)


def name_of(outcome: Outcome) -> str:
    """The winning baseline with its parameters."""
    params = ", ".join(f"{key} {value}" for key, value in outcome.best.params.items())
    return f"{outcome.best.name} ({params})" if params else outcome.best.name


def _table(page: Page, outcomes: Sequence[Outcome]) -> None:
    """The figures of all tasks, the better of baseline and restoration marked."""
    page.section("In figures")
    columns = [
        "",
        "measured",
        "best baseline",
        "restored",
        "gain",
        "SSIM, baseline",
        "SSIM, restored",
        "within 90 %",
        "seconds",
    ]
    # The better PSNR is in column 2 or 3, the better SSIM in column 5 or 6.
    best = set()
    for r, o in enumerate(outcomes):
        baseline, ours = float(o.baseline.ssim.mean()), float(o.ours.ssim.mean())
        best |= {(r, 3 if o.gain > 0 else 2), (r, 6 if ours > baseline else 5)}
    page.table(
        columns,
        [_table_row(o) for o in outcomes],
        "Means over the slices above, inside the brain (for inpainting: in its holes). "
        "Baselines: non-local means and total variation; "
        "biharmonic and total variation; bicubic and spline with back-projection; each tuned on "
        "the truth. "
        "Seconds: reading, restoring and writing NIfTI.",
        best,
    )
    low, high = SLABS["validation"]
    scales = ", ".join(f"{o.scale:.2f}" for o in outcomes)
    page.text(
        f"The {100 * LEVEL:.0f} % intervals are those of a normal with the samples' mean and "
        "standard deviation, the latter times "
        f"a factor ({scales}) chosen on another slab, {low} to {high} mm, that was held out too.",
        quiet=True,
    )


def _table_row(outcome: Outcome) -> list[str]:
    """The figures of a task, means over its slices."""
    scores = (outcome.untouched, outcome.baseline, outcome.ours)
    psnrs = [f"{float(score.psnr.mean()):.2f} dB" for score in scores]
    ssims = [f"{float(score.ssim.mean()):.3f}" for score in scores[1:]]
    covered = f"{100 * outcome.covered:.1f} %"
    gain = f"{outcome.gain:+.2f} dB"
    return [outcome.task.title, *psnrs, gain, *ssims, covered, f"{outcome.seconds:.0f}"]


def _made(page: Page, facts: Mapping[str, Any]) -> None:
    """How the report was made, and the files beside it."""
    page.provenance(facts, "The version, the machine's share in it, the prior and the command.")
    page.text(
        "Beside this page: summary.json with all figures; measured, mean and std of each task as "
        "NIfTI; the model trained live.",
        quiet=True,
    )
