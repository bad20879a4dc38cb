"""Molecules of a file beside real ones: real ones score as real ones do, damaged ones do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke

from unfog.molecules.files import read_molecules, write_sdf

WATER = [(8, (0.0, 0, 0.119)), (1, (0.0, 0.763, -0.477)), (1, (0.0, -0.763, -0.477))]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty waters as data and as samples, and waters whose hydrogens were pulled away."""
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{len(WATER)}\nwater\n"
        + "\n".join(f"{'O' if number == 8 else 'H'} {x} {y} {z}" for number, (x, y, z) in WATER)
        for _ in range(60)
    ]
    (tmp_path / "real.xyz").write_text("\n".join(rows) + "\n")
    molecules = read_molecules(tmp_path / "real.xyz")[:25]
    write_sdf(tmp_path / "good.sdf", molecules)
    apart = [
        replace(one, positions=np.asarray(one.positions) * (1 if k < 10 else 4))
        for k, one in enumerate(molecules)
    ]
    write_sdf(tmp_path / "apart.sdf", apart)
    return tmp_path


def test_figures_stand_beside_those_of_real_ones(place: Path) -> None:
    for name, share in (("good", 1.0), ("apart", 0.4)):
        status, out, err = invoke(f"evaluate {name}.sdf --against real.xyz --out {name} --json")
        assert status == 0, err
        found = json.loads(out)
        assert found["n"] == 25
        assert found["validity"] == pytest.approx(share)
        assert found["floor"]["validity"] == 1.0
        assert "fewer than 100" in found["frechet chemnet"]
        assert (place / name / "report.html").is_file()
        assert json.loads((place / name / "figures.json").read_text())["validity"] == share


def test_bad_input_is_one_sentence(place: Path) -> None:
    status, _, err = invoke("evaluate good.sdf --features pixels --against real.xyz --out no")
    assert (status, "for pictures" in err) == (2, True)
    status, _, err = invoke("evaluate good.sdf --against real.xyz -n 5 --out no")
    assert (status, "at least 20" in err) == (2, True)
    status, _, err = invoke("evaluate good.sdf --out no")
    assert (status, "--against" in err) == (2, True)
    assert not Path("no").exists()
