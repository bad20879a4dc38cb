"""Makes docs/diffusion-gan-vae.md and its figure of the comparisons in benchmarks/results:
no number in it was typed.

python docs/make_comparison.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from make_gallery import processor
from matplotlib.ticker import NullFormatter

ROOT = Path(__file__).parent
PAGE, FIGURE = ROOT / "diffusion-gan-vae.md", "diffusion-gan-vae.png"
RESULTS = ROOT.parent / "benchmarks" / "results"
SETS = {
    "compare_mixture": "25 Gaussians on a grid in the plane",
    "compare_fashion": "Fashion-MNIST",
}
CLASSES = "compare_fashion"
HEAD = """# Diffusion, GAN or VAE?

Made by `python docs/make_comparison.py` of [the results](../benchmarks/results). Every system has
the same CPU time of training, and all are judged by as many samples beside the same real ones, with
what real samples score in their place (the floor). Numbers are means over {seeds} seeds with their
standard deviation. Settings of the GAN and the VAE were tried on budgets of .3 minutes: all of them
are in [tuning.json](../benchmarks/results/tuning.json), and the search space in
`benchmarks/tuning.yaml`; what each comparison was given stands below. What is small and trained for
a minute says little of what is large and trained for a week.

"""
Row = dict[str, Any]


def told(name: str) -> dict[str, Any] | None:
    """A comparison, or None where it was not made."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def number(found: Any, digits: int = 3) -> str:
    """A mean with its spread, or nothing."""
    if not isinstance(found, dict) or found.get("mean") is None:
        return ""
    return f"{found['mean']:.{digits}g} +- {found['spread']:.1g}"


def floor(systems: dict[str, Row], *keys: str) -> str:
    """What real samples score, from the first system that has it."""
    for row in systems.values():
        found: Any = row
        for key in keys:
            found = found.get(key, {}) if isinstance(found, dict) else {}
        if isinstance(found, dict) and "floor" in found:
            return f"{found['floor']:.3g}"
    return ""


def columns(result: dict[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """Heads of the table and where their numbers stand: those that any system has."""
    wanted = [
        ("sliced Wasserstein", ("sliced wasserstein",)),
        ("Fréchet", ("frechet",)),
        ("precision", ("precision",)),
        ("recall", ("recall",)),
        ("coverage", ("coverage",)),
        ("modes found", ("modes", "modes")),
        ("samples within 3 deviations of one", ("modes", "high quality")),
    ]
    return [
        (head, keys)
        for head, keys in wanted
        if any(number(at(row, keys)) for row in result["systems"].values())
    ]


def at(row: Row, keys: tuple[str, ...]) -> Any:
    """What stands under keys one in the other, None where it does not."""
    found: Any = row
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def table(rows: list[list[str]]) -> str:
    """A table in Markdown; the first row is its head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def part(name: str, result: dict[str, Any]) -> str:
    """One comparison: quality and diversity, then stability and cost."""
    systems, told_of = result["systems"], columns(result)
    quality = [["", *(head for head, _ in told_of)]]
    quality += [
        [system, *(number(at(row, keys)) for _, keys in told_of)] for system, row in systems.items()
    ]
    quality += [["real", *(floor(systems, *keys) for _, keys in told_of)]]
    cost = [
        [
            "",
            "runs that failed",
            "collapsed",
            "skipped steps",
            "CPU s of training",
            "CPU ms a sample",
        ]
    ]
    for system, row in systems.items():
        milliseconds = 1000 * row["CPU seconds a sample"]
        cost.append(
            [
                system,
                *(str(row.get(key, 0)) for key in ("failed", "collapsed", "skipped steps")),
                number(row["CPU seconds of training"]),
                f"{milliseconds:.3g}",
            ]
        )
    equal = [["within the time of a sample of", *systems]]
    for system, row in result["at equal sampling seconds"].items():
        distances = row["distance"]
        equal.append(
            [system, *("" if distances[k] is None else f"{distances[k]:.3g}" for k in systems)]
        )
    distance = next(iter(systems.values()))["distance"]
    return f"""## {SETS[name]}

{result["minutes"]:g} minutes of training each on one thread ({processor(result)}), {result["n"]}
samples, features: {result["features"]}. {settings(result)} {reading(systems, told_of)}

{table(quality)}
{table(cost)}
The distance ({distance}) that each reaches with steps that take no longer than
a sample of the system named on the left takes with its own; nothing where one step takes longer:

{table(equal)}"""


def asked(result: dict[str, Any]) -> str:
    """How often classes that were asked for are drawn, by the scale of guidance."""
    told = {system: row["classes"] for system, row in result["systems"].items()}
    ways = [way for way in dict.fromkeys(w for row in told.values() for w in row) if way != "real"]
    rows = [["class drawn as asked", *ways]]
    rows += [[name, *(number(row.get(way)) for way in ways)] for name, row in told.items()]
    real = next(iter(told.values()))["real"]["mean"]
    return f"""
## Classes that are asked for, Fashion-MNIST

The same runs: the share of 250 samples that a network takes for the class that was asked for, by
the scale of classifier-free guidance. The network is right of {real:.3g} of real samples.

{table(rows)}"""


def settings(result: dict[str, Any]) -> str:
    """What systems were given beside their defaults."""
    given = ", ".join(f"`{name}={value}`" for name, value in result["set"].items())
    return f"Given beside the defaults: {given}." if given else "All with their defaults."


def reading(systems: dict[str, Row], told_of: list[tuple[str, tuple[str, ...]]]) -> str:
    """Which system is first by each column: the least distance, the most of everything else."""
    first: dict[str, list[str]] = {}
    for head, keys in told_of:
        means = {name: at(row, keys)["mean"] for name, row in systems.items() if at(row, keys)}
        pick = min if head in ("sliced Wasserstein", "Fréchet") else max
        first.setdefault(pick(means, key=means.__getitem__), []).append(head)
    quickest = min(systems, key=lambda name: systems[name]["CPU seconds a sample"])
    first.setdefault(quickest, []).append("time a sample")
    return " ".join(f"First by {', '.join(heads)}: {name}." for name, heads in first.items())


def figure(results: dict[str, dict[str, Any]]) -> None:
    """Distance against the time of a sample, a line for each system that has steps."""
    drawing, axes = plt.subplots(1, len(results), figsize=(5 * len(results), 3.6), squeeze=False)
    for axis, (name, result) in zip(axes[0], results.items(), strict=True):
        for system, row in result["systems"].items():
            points = sorted(
                (one["seconds a sample"], one["distance"]["mean"]) for one in row["by steps"]
            )
            axis.plot(*zip(*points, strict=True), "o-", label=system)
        axis.set(xscale="log", yscale="log", title=SETS[name], xlabel="CPU seconds a sample")
        axis.set_ylabel(next(iter(result["systems"].values()))["distance"])
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.legend(fontsize=8)
    drawing.tight_layout()
    drawing.savefig(ROOT / FIGURE, dpi=90)


def main() -> None:
    there = {name: found for name in SETS if (found := told(name)) is not None}
    figure(there)
    seeds = "/".join(sorted({str(one["seeds"]) for one in there.values()}))
    picture = f"![Distance against the time of a sample]({FIGURE})\n\n"
    parts = "\n".join(part(name, result) for name, result in there.items())
    classes = told(CLASSES)
    parts += "" if classes is None else asked(classes)
    PAGE.write_text(HEAD.format(seeds=seeds) + picture + parts, encoding="utf-8")


if __name__ == "__main__":
    main()
