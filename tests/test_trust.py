"""The page of difficult files names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_line_has_its_test() -> None:
    rows = [
        line.split("|")[1:-1]
        for line in (ROOT / "docs/trust.md").read_text().splitlines()
        if line.startswith("| ")
        and "What was reported" not in line
        and "What was tried" not in line
    ]
    assert len(rows) > 25
    for row in rows:
        assert len(row) == 3, row
        names = re.findall(r"[\w/]+\.py", row[2])
        assert names, row
        assert all((ROOT / "tests" / name).is_file() for name in names), row
