"""A command line run as a user would, in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from unfog.cli.main import app


def invoke(line: str) -> tuple[int, str, str]:
    """The exit status, what was printed, and what was told on stderr."""
    result = CliRunner().invoke(app, line.split())
    return result.exit_code, result.stdout, result.stderr
