"""Formulas as MathML, made while the site is built, so that reading them fetches nothing."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

APPLIED = re.compile(r"<mo>&ApplyFunction;</mo>(?=\s*<m(?:i|sub|frac)\b)")

logger = logging.getLogger(__name__)


def _markup(node: nodes.Element, block: bool) -> str:
    """A formula as MathML; a warning, which ends the build, where its TeX is not understood."""
    try:
        # A name and its argument are set apart: log p, not logp.
        math = str(tex2mathml(node.astext(), as_block=block))
        return APPLIED.sub('<mspace width="0.17em"/>', math)
    except Exception as error:  # docutils raises several kinds
        logger.warning("the formula %r: %s", node.astext(), error, location=node)
        return f"<code>{node.astext()}</code>"


def inline(visitor: Any, node: nodes.Element) -> None:
    """A formula in a line of text."""
    visitor.body.append(_markup(node, block=False))
    raise nodes.SkipNode


def block(visitor: Any, node: nodes.Element) -> None:
    """A formula of its own, which scrolls by itself where the page is narrow."""
    math = _markup(node, block=True)
    visitor.body.append(f'<div class="formula" tabindex="0">{math}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
