"""The report of drawn molecules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from unfog.molecules.files import rdkit, sdf_block, to_rdkit
from unfog.molecules.metrics import smiles_of
from unfog.molecules.molecule import Molecule
from unfog.molecules.strain import mmff_strain
from unfog.report import Page, Row
from unfog.report.pictures import Picture

DRAWN, ACROSS, SIDE = 24, 6, 200  # drawings, drawings of a row, pixels of a drawing's side
STRAINED = 100  # molecules that are relaxed
TURNING = 8  # molecules shown in space: a browser has few canvases


def page_of(
    molecules: Sequence[Molecule], figures: Mapping[str, Any], summary: Mapping[str, Any]
) -> Page:
    """The page: drawings in the plane, and the figures with their intervals.

    Args:
        molecules: What was drawn.
        figures: Of ``molecules.metrics.Report``.
        summary: Of the command.

    Returns:
        The page.
    """
    page = Page("Molecules", f"{len(molecules)} molecules drawn by {summary['run']}.")
    page.section("In figures")
    rows = []
    for name, share in figures.items():
        low, high = share["interval"]
        value, ends = 100 * share["value"], f"{100 * low:.1f} to {100 * high:.1f} %"
        rows.append([name.replace("_", " "), f"{value:.1f} %", ends, str(share["n"])])
    strain = mmff_strain(molecules[:STRAINED])
    low, high = strain.interval
    ends, n = f"{low:.1f} to {high:.1f}", str(len(strain.values))
    rows.append(["strain in kcal/mol, median", f"{strain.value:.1f}", ends, n])
    page.table(
        ["", "value", "95 % interval", "n"],
        rows,
        "Stability: atoms with as many bonds as their element has, bonds by distance. Validity: "
        "molecules in one piece that RDKit takes. Uniqueness: of the valid. Strain: by how much "
        f"MMFF94's energy falls when the first {STRAINED} are relaxed, of those it knows.",
    )
    page.section("Drawings", "In the plane, by RDKit; what it takes for impossible is not drawn.")
    drawn = [(m, picture) for m in molecules[:DRAWN] if (picture := drawing(m)) is not None]
    pictures = []
    for first in range(0, len(drawn), ACROSS):
        part = drawn[first : first + ACROSS]
        pictures.append(Row("", [p for _, p in part], [smiles_of(m) or "" for m, _ in part]))
    if pictures:
        page.pictures(pictures, "The first molecules, none of them chosen.")
    _turning(page, molecules[:TURNING])
    page.provenance(summary, "The command's summary.")
    return page


def _turning(page: Page, molecules: Sequence[Molecule]) -> None:
    """Molecules in space, turning, by the viewer that comes with the package."""
    page.section("In space", "Drag one to turn it by hand. Bonds by distance.")
    cells = [
        f'<div class="molecule" style="position: relative; width: 240px; height: 240px" '
        f'data-sdf="{escape(sdf_block(molecule), quote=True)}"></div>'
        for molecule in molecules
    ]
    folder = files("unfog.molecules") / "viewer"
    parts = [(folder / name).read_text("utf-8") for name in ("3Dmol-min.js", "turn.js")]
    page.scripted(cells, "\n".join(parts), "The first molecules, by 3Dmol.js.")


def drawing(molecule: Molecule) -> Picture | None:
    """The molecule's bonds in the plane, (200, 200, 3); None where RDKit takes it for impossible,
    or it falls into pieces.
    """
    found = to_rdkit(molecule)
    if found is None or smiles_of(molecule) is None:
        return None
    chem = rdkit()
    from rdkit.Chem.Draw import rdMolDraw2D

    flat = chem.MolFromSmiles(smiles_of(molecule))
    if flat is None:
        return None
    canvas = rdMolDraw2D.MolDraw2DCairo(SIDE, SIDE)
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, flat)
    canvas.FinishDrawing()
    picture: Picture = np.asarray(Image.open(BytesIO(canvas.GetDrawingText())).convert("RGB"))
    return picture
