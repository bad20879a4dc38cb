"""Help: quick, complete, with an example in every command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from unfog import __version__
from unfog.cli.main import app

COMMANDS = [
    [c]
    for c in (
        "demo",
        "systems",
        "data",
        "train",
        "distill",
        "calibrate",
        "calibrate-uncertainty",
        "sample",
        "restore",
        "bulk",
        "edit",
        "evaluate",
        "audit",
        "compare",
        "runs",
        "reproduce",
        "sweep",
        "ema",
        "import-weights",
        "export",
        "inspect",
        "verify",
        "doctor",
    )
]
COMMANDS += [["data", "fetch"], ["dmri", "denoise"], ["dmri", "synthesize"], ["dmri", "report"]]
HEAVY = ["torch", "numpy", "matplotlib", "nibabel", "scipy", "PIL", "yaml", "safetensors"]
runner = CliRunner()


def test_help_imports_nothing_heavy() -> None:
    """The reason it answers within half a second, as a count that no busy machine disturbs."""
    code = (
        "import sys\nfrom unfog.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {HEAVY} if m in sys.modules], len(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, count = done.stderr.rsplit("] ", 1)
    assert heavy == "["
    assert int(count) < 500


def test_help_lists_every_command() -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for path in COMMANDS:
        assert path[0] in result.stdout


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(path: list[str]) -> None:
    result = runner.invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert f"unfog {' '.join(path)}" in result.stdout.partition("Example:")[2]
    assert "--json" in result.stdout


def test_version() -> None:
    assert runner.invoke(app, ["--version"]).stdout.strip() == f"unfog {__version__}"


@pytest.mark.parametrize("path", [["systems"], ["data"], ["doctor"]], ids=" ".join)
def test_json_is_one_object_on_stdout(path: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unfog", *path, "--json"], capture_output=True, text=True, check=True
    )
    assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.parametrize("path", [["systems"], ["data"], ["doctor"]], ids=" ".join)
def test_people_get_lines(path: list[str]) -> None:
    result = runner.invoke(app, path)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 1
