"""The pages' HTML, by Jinja2; every value is escaped."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from unfog.lab import answers

if TYPE_CHECKING:
    from starlette.responses import Response


@cache
def _environment() -> Any:
    """The templates of this folder."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from unfog.lab import pages

    made = Environment(
        loader=PackageLoader("unfog.lab"), autoescape=True, undefined=StrictUndefined
    )
    made.globals["navigation"] = pages.navigation()
    return made


def render(name: str, status: int = 200, **values: Any) -> Response:
    """A page.

    Args:
        name: The template's file.
        status: Of the answer.
        **values: What it shows.

    Returns:
        The answer.
    """
    text = _environment().get_template(name).render(**values)
    return answers.content(text, answers.HTML, status)
