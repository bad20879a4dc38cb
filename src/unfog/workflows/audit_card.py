"""The section of a model card that an audit writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfog.files.output import write_json
from unfog.runs.folder import CARD, relist, run_card
from unfog.workflows.judged import is_run

SECTION = "audit"
LEFT_OUT = ("flagged samples", "largest")  # lists that only a summary needs
NOTE = "Evidence, not proof: what such a search does not find may still be there."


def section(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What a card keeps of an audit's summary.

    Args:
        summary: What the command prints.

    Returns:
        The section, its figures rounded to four digits.
    """
    kept = {k: v for k, v in summary.items() if k not in ("samples of", "out")}
    return {"note": NOTE, **_short(kept)}


def write_into_card(source: Path, summary: Mapping[str, Any]) -> None:
    """Write the section into the card.json of a run's folder, beside what is there; of a folder of
    samples, and of a shipped prior by its name, nothing is written.

    Args:
        source: What was audited.
        summary: What was found.
    """
    if not source.is_dir() or not is_run(source):
        return
    file = source / CARD
    card = run_card(source)
    write_json(file, {**card, SECTION: section(summary)}, overwrite=True)
    relist(source)


def _short(value: Any) -> Any:
    """Plain data with numbers of four digits, without the long lists."""
    if isinstance(value, Mapping):
        return {k: _short(v) for k, v in value.items() if k not in LEFT_OUT}
    if isinstance(value, (list, tuple)):
        return [_short(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
