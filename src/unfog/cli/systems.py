"""``unfog systems``."""

from __future__ import annotations

from unfog.cli.options import AsJson, emit


def systems(as_json: AsJson = False) -> None:
    """List the systems that can be trained, and the cascades made of them."""
    import unfog.builtin  # noqa: F401  (registers every system)
    from unfog.systems import get, names
    from unfog.systems.cascades import cascades

    found = {name: f"{get(name).summary} ({get(name).paper})" for name in names()}
    found |= {
        name: f"cascade of {', '.join(stage.name for stage in one.stages)}: {one.summary} "
        f"({one.paper})"
        for name, one in cascades.items()
    }
    emit(found, as_json)
