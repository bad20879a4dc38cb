"""Files that the pages fetch, by a list of names: scripts, styles and the volume viewer."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from unfog.lab import answers

if TYPE_CHECKING:
    from starlette.responses import Response

SCRIPT, STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
NAMES = {
    "report.css": ("unfog.report", "style.css", STYLE),
    "wipe.js": ("unfog.report", "wipe.js", SCRIPT),
    "lab.css": ("unfog.lab.static", "lab.css", STYLE),
    "lab.js": ("unfog.lab.static", "lab.js", SCRIPT),
    "paint.js": ("unfog.lab.static", "paint.js", SCRIPT),
    "slices.js": ("unfog.lab.static", "slices.js", SCRIPT),
    "viewer.js": ("unfog.lab.static", "viewer.js", SCRIPT),
    "noise.js": ("unfog.lab.static", "noise.js", SCRIPT),
    "runs.js": ("unfog.lab.static", "runs.js", SCRIPT),
    "niivue.umd.js": ("unfog.lab.static", "niivue.umd.js", SCRIPT),
}

WALKS = ("fashion", "t1-slices", "vp-linear", "edm", "rectified-flow")
for _name in WALKS:
    _file = f"noise-{_name}"
    NAMES[f"{_file}.json"] = ("unfog.lab.examples", f"{_file}.json", "application/json")
    NAMES[f"{_file}.png"] = ("unfog.lab.examples", f"{_file}.png", "image/png")


def static_answer(name: str) -> Response:
    """A file of the list."""
    if name not in NAMES:
        return answers.sentence("There is no such file.", 404)
    package, file, kind = NAMES[name]
    content = (files(package) / file).read_bytes()
    return answers.content(content, kind, headers={"cache-control": "max-age=600"})
