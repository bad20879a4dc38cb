"""The prior ``qm9``, which comes with the package: it draws chemistry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("rdkit")

from unfog.builtin import open_run
from unfog.molecules.files import read_molecules
from unfog.molecules.metrics import report
from unfog.molecules.workflows.sample import sample_molecules
from unfog.runs.folder import CARD, locate, priors

pytestmark = pytest.mark.skipif("qm9" not in priors(), reason="it does not ship yet")


def test_it_is_drawn_from_by_name_and_needs_no_data(tmp_path: Path) -> None:
    said = sample_molecules("qm9", 4, tmp_path / "drawn", atoms=12, steps=20)
    drawn = read_molecules(tmp_path / "drawn" / "molecules.xyz")
    assert [len(molecule) for molecule in drawn] == [12] * 4
    assert said["atom_stability"] > 0.5


@pytest.mark.slow
def test_its_molecules_are_as_stable_as_its_card_says() -> None:
    card = json.loads((locate("qm9") / CARD).read_text())
    stated = card["figures"]["results"]["figures"]["atom_stability"]["value"]
    assert stated > 0.85
    run = open_run("qm9")
    from unfog.molecules.sizes import draw_sizes, masks_of
    from unfog.molecules.state import molecules_of

    # Others than those of the card.
    sizes = draw_sizes(run.config["sampling"]["sizes"], range(50), seed=1)
    masks = masks_of(sizes, run.shape[1])
    x = run.sample(50, seed=1, condition={"mask": masks}, batch=50)
    found = report(molecules_of(x, masks))
    # Atoms of a molecule are not independent: the interval is that of 50 molecules.
    assert found.atom_stability.value > stated - 1.96 * (stated * (1 - stated) / 50) ** 0.5
    assert found.uniqueness.value == 1
