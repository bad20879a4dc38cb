"""``unfog edit`` of runs of clips, with the options that they know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import unfog.builtin  # noqa: F401  (registers every name)
from unfog.errors import InputError
from unfog.files import yaml
from unfog.runs.folder import CONFIG
from unfog.video.workflows.animate import animate_file
from unfog.video.workflows.edit import edit_clip


def is_video(path: str | Path) -> bool:
    """Whether a folder holds a run of clips."""
    config = Path(path) / CONFIG
    if not config.is_file():
        return False
    read = yaml.read(config)
    return isinstance(read, dict) and read.get("format") == "video"


def edit_video(
    source: Path,
    path: Path,
    method: str,
    out: Path,
    others: Mapping[str, object],
    **options: Any,
) -> dict[str, Any]:
    """A clip extended or interpolated by a run.

    Args:
        source: The run.
        path: The clip.
        method: "extend" or "interpolate".
        out: The new folder.
        others: Options that runs of clips do not know, None where they are not given.
        **options: Others of ``video.workflows.edit.edit_clip``.

    Returns:
        The summary.

    Raises:
        InputError: One of the others is given.
    """
    _refuse(others)
    return edit_clip(source, path, method, out, **options)


def animate_picture(
    source: Path, path: Path, out: Path, others: Mapping[str, object], **options: Any
) -> dict[str, Any]:
    """A picture animated by a run.

    Args:
        source: The run.
        path: The picture.
        out: The new folder.
        others: Options that animation does not know, None where they are not given.
        **options: Others of ``video.workflows.animate.animate_file``.

    Returns:
        The summary.

    Raises:
        InputError: One of the others is given, or the source is no run of clips.
    """
    _refuse(others)
    if not is_video(source):
        raise InputError("animate is of a run of clips; train the system dynamicrafter on such.")
    return animate_file(source, path, out, **options)


def _refuse(others: Mapping[str, object]) -> None:
    """``InputError`` for options that are given and mean nothing to clips."""
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise InputError(f"A run of clips does not know {', '.join(given)}; leave it out.")
