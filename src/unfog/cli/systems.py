"""``unfog systems``."""

from __future__ import annotations

from unfog.cli.options import AsJson, emit


def systems(as_json: AsJson = False) -> None:
    """List the systems that can be trained."""
    import unfog.builtin  # noqa: F401  (registers every system)
    from unfog.systems import get, names

    emit({name: f"{get(name).summary} ({get(name).paper})" for name in names()}, as_json)
