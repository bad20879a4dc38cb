"""A run trained for two steps through the command line, shared by the tests of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from unfog.cli.main import app

TINY = ["--set", "training.batch=4", "--set", "network.channels=8", "--set", "network.groups=4"]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An EDM of 8 x 8 digits; what it learned does not matter."""
    folder = tmp_path_factory.mktemp("cli") / "digits"
    result = CliRunner().invoke(
        app, ["train", "edm", "--data", "digits", "--out", str(folder), "--steps", "2", *TINY]
    )
    assert result.exit_code == 0, result.output
    return folder
