"""Links from pages to files of the repository: a module's leads to its source on the site, a
document's outside docs/ to its page, any other file's is a download.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[3]
OUTSIDE = {  # documents beside docs/, and the page that includes each
    "CONTRIBUTING.md": "project/contributing",
    "CHANGELOG.md": "project/changelog",
    "README.md": "project/readme",
}
PLACE = re.compile(r"\]\((?!https?:|#)([\w/.-]+)((?:#[\w-]+)?)\)")  # as a root document links
LINK = re.compile(r"\]\(((?:\.\./)+)([\w/.-]+)((?:#[\w-]+)?)\)")


def outside_page(name: str) -> str:
    """A document beside docs/ as a page, its links relative to docs/project."""

    def link(match: re.Match[str]) -> str:
        target, anchor = match.groups()
        if target in OUTSIDE:
            return f"](/{OUTSIDE[target]}.md{anchor})"
        if target.startswith("docs/"):
            return f"](../{target.removeprefix('docs/')}{anchor})"
        return f"](../../{target}{anchor})"

    return PLACE.sub(link, (ROOT / name).read_text("utf-8"))


def _write(app: Sphinx) -> None:
    """The pages of the documents beside docs/, where they have changed."""
    for name, page in OUTSIDE.items():
        path, text = Path(app.srcdir) / f"{page}.md", outside_page(name)
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def _to_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links to documents outside docs/ become links to the pages that include them, and links to
    folders become their names.
    """

    def page(match: re.Match[str]) -> str:
        ups, name, anchor = match.groups()
        target = (Path(app.srcdir) / docname).parent / ups / name
        if target.resolve().is_dir():
            return f"] (`{name}`)"
        if name in OUTSIDE:
            return f"](/{OUTSIDE[name]}.md{anchor})"
        return match.group(0)

    source[0] = LINK.sub(page, source[0])


def site_page(path: Path) -> str | None:
    """The page of the site that shows a file of the repository: a module's source as
    ``sphinx.ext.viewcode`` makes it, an example's as ``sphinx_gallery`` does; None for others.
    """
    if path.suffix != ".py" or ROOT not in path.parents:
        return None
    folder, *parts = path.relative_to(ROOT).with_suffix("").parts
    if folder == "src":
        return "/".join(["_modules", *parts]).removesuffix("/__init__") + ".html"
    if folder == "examples" and len(parts) == 2:
        return "/".join(["examples", *parts]) + ".html"
    return None


def _to_sources(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Links to modules and examples lead to their pages, where another file is a download."""
    for node in list(doctree.findall(addnodes.download_reference)):
        path = ((Path(app.srcdir) / docname).parent / node["reftarget"]).resolve()
        page = site_page(path)
        if page is not None:
            link = nodes.reference("", "", refuri="../" * docname.count("/") + page, internal=True)
            link += node.children
            node.replace_self(link)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", _write, priority=100)
    app.connect("source-read", _to_pages)
    app.connect("doctree-resolved", _to_sources)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
