"""``unfog systems``."""

from __future__ import annotations

from unfog.cli.options import AsJson, emit


def systems(as_json: AsJson = False) -> None:
    """List the systems that can be trained."""
    from unfog.systems.registry import summary
    from unfog.systems.registry import systems as known

    emit({name: summary(name) for name in known.names()}, as_json)
