"""Makes docs/gallery.md of the results in benchmarks/results: no figure in it was typed.

python docs/make_gallery.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
PAGE = ROOT / "gallery.md"
RESULTS = ROOT.parent / "benchmarks" / "results"
GARMENTS = (
    "drawn for a class each (t-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker)",
    "held-out garments",
    "the same, a box in their middle redesigned",
    "their sketches",
    "drawn along the sketches",
    "the garments in brick, grass and gravel, in turn",
    "from one garment to another",
)
SPEED = ("avx512f", "avx512_bf16", "amx_bf16")  # flags of a processor
TRAINED = {
    "garments": "unfog train fashion --data garments --minutes 45 --set training.precision=bf16",
    "textile": "unfog train textile --data swatches --minutes 20 --set training.precision=bf16",
    "art": "unfog train art --data photographs --steps 1100 --set training.batch=8 "
    "--set training.lr=2e-3 --set training.precision=bf16 --out art && unfog train art "
    "--data photographs --start art --steps 330 --seed 1 --set training.batch=8 "
    "--set training.precision=bf16 --out art2",
}


def told(name: str) -> dict[str, Any]:
    """The results of a benchmark."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return found


def processor(results: dict[str, Any]) -> str:
    """The processor that a benchmark ran on, with the flags that its speed depends on."""
    found = results["processor"]
    flags = [flag for flag in SPEED if flag in found["flags"]]
    return " with ".join(part for part in (found["name"], " and ".join(flags)) if part)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def garments() -> str:
    """The part on garments."""
    r = told("garments")
    rows = [
        [name, *(f"{found[key]:.2f}" for key in ("all", "best", "alone", "shuffled"))]
        for name, found in r["attributes"].items()
    ]
    c, d, f = r["classifier"], r["redesign"], r["sketch_f1"]
    t, i = r["texture_distance"], r["interpolation"]
    best = f"the best of {r['best_of']}"
    obeyed = table(["attribute", "all five asked", best, "alone", "shuffled wishes"], rows)
    return f"""## Garments

`{r["command"]}`: a run of {r["run"]["steps"]} steps (`{TRAINED["garments"]}`),
{r["count"]} wishes of held-out garments, guidance {r["guidance"]}, {r["plan"]["steps"]} steps of
{r["plan"]["sampler"]}. Correlations of the attributes asked for and measured:

{obeyed}
- **Classes** A network trained on the real pictures ({100 * c["test_accuracy"]:.1f} % of the
  test set right) agrees with the class asked for in {100 * c["agreement"]:.1f} %, and with
  shuffled ones in {100 * c["shuffled"]:.1f} %.
- **Redesign** The rest changes by {d["largest_change_outside"]:g} grey levels. The energy of
  differences across the box's border, over that of lines beside it, is
  {d["seam_redesigned"]:.2f}; {d["seam_of_the_garments"]:.2f} in the garments themselves and
  {d["seam_pasted"]:.2f} where another garment is pasted.
- **Sketches** F1 of edges to the pixel {f["sketched"]["exact"]:.2f}, of draws that are told nothing
  {f["unconditioned"]["exact"]:.2f}, of another garment's sketch
  {f["another_garment"]["exact"]:.2f}; within a pixel {f["sketched"]["near"]:.2f},
  {f["unconditioned"]["near"]:.2f}, {f["another_garment"]["near"]:.2f}.
- **Textures** The distance to the swatch's statistics, over their length, falls from
  {t["before"]:.2f} to {t["after"]:.2f}.
- **Interpolation** The ends are the garments up to {i["error_of_the_ends"]:.3f} of white.

![Garments](garments.png)

From the top: {"; ".join(GARMENTS)}.
"""


def cloth() -> str:
    """The part on cloth."""
    r = told("textile")
    rows = [
        [
            name,
            f"{found['seam']:.3f} +- {found['standard_error']:.3f}",
            f"{found['laid_out_wrongly']:.2f}",
            "yes" if found["edges_match"] else "no",
        ]
        for name, found in r["repeats"].items()
    ]
    head = ["repeat", "seam over interior energy", "laid out by another rule", "edges match"]
    bands, single = (
        ", ".join(f"{ratio:.2f}" for ratio in r[key])
        for key in ("spectrum_over_swatches", "spectrum_of_single_squares")
    )
    more = ""
    if "palette_distance" in r:
        turn, inks = r["rotation_in_degrees"], r["palette_distance"]
        more = f"""- **Rotation** asked of brick and found differ by
  {turn["median_error"]:.1f} degrees in the median of {turn["cells"]}.
- **Palette** A pixel is {inks["without"]:.0f} grey levels from the nearest of three inks without
  one and {inks["with"]:.0f} with it.
"""
    return f"""## Cloth

`{r["command"]}`: a run of {r["run"]["steps"]} steps on squares of 64 x 64
(`{TRAINED["textile"]}`), {r["cells"]} cells of {r["cell"]} x {r["cell"]} of each repeat,
laid out over 1024 x 1024.

{table(head, rows)}
- **Spectra** over the swatches', from the lowest band to the highest: {bands}; of single squares
  without a repeat: {single}.
{more}
![Cloth](textile.png)

From the left square, half-drop and brick repeats, each of one cell.
"""


def large() -> str:
    """The part on large pictures."""
    r = told("art")
    c, q = r["canvas"], r["quarter"]
    cut = ""
    if q:
        same = q["whole"]["sha256"] == q["cut"]["sha256"]
        cut = f"""- **Killed or not** At {r["side"] // 4} x {r["side"] // 4} a work killed after
  {q["cut"]["killed_after"]:.0f} s and called again ends in {"the same" if same else "other"} bytes.
"""
    return f"""## Large pictures

`{r["command"]}`, of the second run of
`{TRAINED["art"]}`: {r["steps"]} steps of the last level,
twice as many of each before it.

- **{r["side"]} x {r["side"]}** in {c["seconds"] / 60:.1f} minutes and {c["peak_gib"]:.2f} GiB,
  killed once after {c["killed_after"]:.0f} s ({processor(r)}); a TIFF of {c["megabytes"]:.0f} MB.
{cut}- **Seams** The largest energy at any offset within a window's stride is
  {r["seams"][0]:.3f} and {r["seams"][1]:.3f} of the mean, down and across (deviations over the
  offsets {r["offsets_deviation"][0]:.3f} and {r["offsets_deviation"][1]:.3f}).

![A canvas and a part of it](art.png)

On the left the whole canvas, on the right a part of it, pixel by pixel.
"""


def page() -> str:
    """The whole page."""
    head = f"""# Gallery of garments, cloth and large pictures

Made by `python docs/make_gallery.py` of [the results](../benchmarks/results) of small models, each
trained for minutes on one core ({processor(told("garments"))}); [how to ask for
them](fabric.md).

"""
    parts = {"garments": garments, "textile": cloth, "art": large}
    there = [part() for name, part in parts.items() if (RESULTS / f"{name}.json").is_file()]
    return head + "\n".join(there)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
