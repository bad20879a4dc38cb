"""``unfog inspect``: a description of a run or a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unfog.builtin import open_run
from unfog.errors import InputError
from unfog.files.formats import format_of
from unfog.runs.folder import priors
from unfog.training.checkpoint import fault, newest_verified


def inspect_path(path: Path) -> dict[str, Any]:
    """A description of a run's folder, a shipped prior, or a file of a known format."""
    if path.is_dir() or (not path.exists() and str(path) in priors()):
        return _run(path)
    if not path.is_file():
        raise InputError(f"There is no file or run {path}.")
    return format_of(path).describe(path)


def _run(path: Path) -> dict[str, Any]:
    """A description of a run: its system, size, verified checkpoints, card and config."""
    run = open_run(path)
    facts = {
        "kind": "run",
        "system": run.config["system"],
        "parameters": sum(p.numel() for p in run.denoiser.parameters()),
    }
    checkpoints = sorted((run.path / "checkpoints").glob("step-*"))
    if checkpoints:
        newest, _ = newest_verified(run.path)
        assert newest is not None  # or the run would not have opened
        facts["step"] = json.loads((newest / "state.json").read_bytes())["step"]
        facts["checkpoints"] = {folder.name: fault(folder) or "verified" for folder in checkpoints}
    else:
        facts["weights"] = "verified"
    if run.card:
        facts["card"] = dict(run.card)
    return {**facts, "config": run.config}
