"""Every warning that a test raises says how often that test is wrong."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from unfog.dmri.checks import false_alarms, warnings
from unfog.dmri.checks.false_alarms import FILE, KINDS, kind_of, with_rate

COUNTED = json.loads(FILE.read_text())


def test_every_kind_was_counted_on_200_scans() -> None:
    assert COUNTED["scans"] == 200
    assert COUNTED["falsely"].keys() == KINDS.keys()
    assert all(0 <= count <= 200 for count in COUNTED["falsely"].values())


def test_b_vectors_are_never_falsely_flipped() -> None:
    assert COUNTED["falsely"]["b-vectors flipped"] == 0


def test_every_sentence_of_the_checks_is_of_a_kind() -> None:
    """Those in the code: whoever words one anew has to say so there."""
    tree = ast.parse(Path(warnings.__file__).read_text())
    told = [
        node.value.args[0] if isinstance(node.value, ast.Call) else node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.JoinedStr | ast.Constant)
    ]
    texts = ["".join(p.value for p in _parts(one) if isinstance(p.value, str)) for one in told]
    sentences = [text for text in texts if text]
    assert len(sentences) >= 5
    assert [text for text in sentences if kind_of(text) is None] == []


def _parts(node: ast.expr) -> list[ast.Constant]:
    return [part for part in ast.walk(node) if isinstance(part, ast.Constant)]


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "none of 200 phantoms without a fault (so below 1.5 %"), (3, "3 of 200")],
)
def test_the_rate_follows_the_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int, words: str
) -> None:
    file = tmp_path / "counted.json"
    file.write_text(json.dumps({"scans": 200, "falsely": dict.fromkeys(KINDS, count)}))
    monkeypatch.setattr(false_alarms, "FILE", file)
    text = "Slices dropped out: z 3 of volume 4."
    assert with_rate(text).startswith(text)
    assert words in with_rate(text)
    fact = "Left out as asked: volumes 7, counted from 0."
    assert with_rate(fact) == fact
