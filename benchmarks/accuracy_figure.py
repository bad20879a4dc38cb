"""The figures of docs/accuracy.md from the JSON of the benchmarks.

python benchmarks/accuracy_figure.py benchmarks/results/accuracy_per_call.json
docs/accuracy-per-call.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {
    "unfog calibrated": "#c2185b",
    "unfog": "#7b9fd4",
    "diffusers": "#bdbdbd",
    "k-diffusion": "#d9b38c",
}


def family(solver: str) -> str:
    """Who made a solver."""
    return solver if solver == "unfog calibrated" else solver.split(" ")[0]


def panel(axes: Any, title: str, cells: dict[str, Any], kind: int) -> None:
    """Error against calls, a line a solver."""
    calls = sorted(map(int, cells))
    names = {
        name for c in calls for name, pair in cells[str(c)]["all"].items() if isinstance(pair, list)
    }
    for name in sorted(names, key=lambda n: list(COLOURS)[::-1].index(family(n))):
        points = [
            (c, cells[str(c)]["all"][name][kind])
            for c in calls
            if isinstance(cells[str(c)]["all"].get(name), list)
        ]
        ours = name == "unfog calibrated"
        axes.plot(
            *zip(*points, strict=True),
            color=COLOURS[family(name)],
            lw=2.4 if ours else 0.9,
            marker="o" if ours else None,
            ms=5,
            zorder=3 if ours else 1,
        )
    axes.set(xscale="log", yscale="log", title=title, xticks=calls, xticklabels=calls)
    axes.minorticks_off()
    axes.set_ylim(top=1)  # what is worse than the data's own spread is off the page
    axes.grid(alpha=0.2)


def main(source: Path, out: Path) -> None:
    results = json.loads(source.read_text())["results"]
    figure, grid = plt.subplots(
        2,
        len(results),
        figsize=(3.3 * len(results), 6),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for row, (kind, name) in enumerate(((1, "median"), (0, "root mean square"))):
        for axes, (title, cells) in zip(grid[row], results.items(), strict=True):
            panel(axes, title if row == 0 else "", cells, kind)
        grid[row][0].set_ylabel(f"error of x0, {name}")
    for axes in grid[1]:
        axes.set_xlabel("network calls")
    handles = [
        plt.Line2D([], [], color=colour, lw=2.4 if name == "unfog calibrated" else 1.2)
        for name, colour in COLOURS.items()
    ]
    labels = [
        "unfog, calibrated",
        "unfog, each solver on its best grid",
        "diffusers, likewise",
        "k-diffusion, likewise",
    ]
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(out, dpi=110)


def table(source: Path) -> str:
    """Ours and the best peer in every cell, as Markdown."""
    lines = [
        "| target | calls | error | unfog, calibrated | best of the peers | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for title, cells in json.loads(source.read_text())["results"].items():
        for calls, cell in cells.items():
            for key, name in (("median", "median"), ("rms", "root mean square")):
                peer = cell["best_peer"][key]
                ours = f"{cell['ours'][key]:.2g}"
                lines.append(
                    f"| {title} | {calls} | {name} | {ours} | {peer[key]:.2g}, {peer['solver']} "
                    f"| {cell['ratio'][key]:.2f} |"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write(table(Path(sys.argv[1])) + "\n")
