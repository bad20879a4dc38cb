"""The Fréchet ChemNet distance beside its library's own."""

import sys

import pytest

from unfog.errors import InputError, MissingExtra
from unfog.molecules.chemnet import chemnet_distance, chemnet_features


def chains(first: int, heads: str) -> list[str]:
    """Molecules of chains with other atoms at places, all of them valid."""
    ends = ["O", "N", "F", "C#N", "C=O", "C(=O)O", "c1ccccc1", "C1CC1"]
    return [f"{head}{'C' * (first + n)}{end}" for head in heads for n in range(12) for end in ends]


@pytest.mark.slow
def test_the_distance_is_the_library_s() -> None:
    fcd = pytest.importorskip("fcd")
    generated, real, reference = chains(1, "NO"), chains(2, "CF"), chains(1, "CF")
    found = chemnet_distance(generated, real, reference)
    expected = float(fcd.get_fcd(generated, reference, device="cpu"))
    assert found.generated.value == pytest.approx(expected, rel=1e-4)
    assert found.floor.value < found.generated.value
    assert found.generated.error > 0


def test_too_few_molecules_and_a_missing_library_are_said(monkeypatch) -> None:
    with pytest.raises(InputError, match="100 molecules"):
        chemnet_distance(["C"], ["C"], ["C"])
    monkeypatch.setitem(sys.modules, "fcd", None)
    with pytest.raises(MissingExtra, match="chemnet"):
        chemnet_features(["C"])
