"""``unfog sample`` of runs of molecules, with the options that they know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import unfog.builtin  # noqa: F401  (registers every name)
from unfog.errors import InputError
from unfog.files import yaml
from unfog.molecules.workflows.sample import sample_molecules
from unfog.runs.folder import CONFIG, locate


def is_molecules(source: str | Path) -> bool:
    """Whether a folder, or the shipped prior of that name, is a run of molecules."""
    try:
        config = yaml.read(locate(source) / CONFIG)
    except InputError:
        return False
    return isinstance(config, dict) and config.get("system") == "molecules"


def draw_molecules(
    source: str | Path,
    count: int | None,
    out: Path,
    others: Mapping[str, object],
    guidance: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Molecules of a run.

    Args:
        source: The run.
        count: How many.
        out: The new folder.
        others: Options that runs of molecules do not know, None where they are not given.
        guidance: The scale towards a property, as the user wrote it.
        **options: Others of ``molecules.workflows.sample.sample_molecules``.

    Returns:
        The summary.

    Raises:
        InputError: One of the others is given.
    """
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise InputError(f"A run of molecules does not know {', '.join(given)}; leave it out.")
    try:
        scale = None if guidance is None else float(guidance)
    except ValueError as error:
        raise InputError(f"Guidance of molecules is one number, not {guidance!r}.") from error
    return sample_molecules(source, count, out, guidance=scale, **options)
