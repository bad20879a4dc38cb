"""The figure of the medical benchmark from its JSON: PSNR of every method, and the coverage of
every sampler's 90 % interval.

python benchmarks/medical_figure.py benchmarks/results/medical.json docs/medical.png
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
    "unfog": "#c2185b",
    "deepinv DPS": "#7b9fd4",
    "deepinv DiffPIR": "#4a6fa5",
    "deepinv DDRM": "#a7c4e8",
    "total variation": "#bdbdbd",
    "wavelets": "#999999",
    "non-local means": "#d9b38c",
    "BM3D": "#b08850",
    "filtered back-projection": "#8fae8b",
}


def panel(axes: Any, results: dict[str, Any], key: str) -> None:
    """A bar a method in a group a task; a method without the figure has none."""
    width = 0.8 / len(COLOURS)
    for k, (name, colour) in enumerate(COLOURS.items()):
        bars = [
            (i, task["methods"][name][key])
            for i, task in enumerate(results.values())
            if key in task["methods"].get(name, {})
        ]
        axes.bar(
            [i + (k - len(COLOURS) / 2 + 0.5) * width for i, _ in bars],
            [value for _, value in bars],
            width,
            color=colour,
        )
    axes.set_xticks(range(len(results)), list(results))
    axes.grid(axis="y", alpha=0.2)


def main(source: Path, out: Path) -> None:
    record = json.loads(source.read_text())
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(2 + 1.8 * len(record["results"]), 6), sharex=True, layout="constrained"
    )
    panel(above, record["results"], "psnr")
    above.set_ylabel("PSNR, dB")
    above.set_ylim(bottom=10)
    panel(below, record["results"], "covered")
    below.axhline(record["level"], color="black", lw=0.8, ls="--")
    below.set_ylabel(f"truths in the {100 * record['level']:.0f} % interval")
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(handles, list(COLOURS), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
