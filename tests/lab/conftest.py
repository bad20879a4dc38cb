"""One server for the tests that only look."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.lab import Served, served


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A lab of an empty folder."""
    pytest.importorskip("fastapi")
    with served(tmp_path_factory.mktemp("lab") / "runs") as one:
        yield one
