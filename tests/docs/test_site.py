"""What the site makes of docstrings and of the commands; `make docs` needs Sphinx, these do not."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTENSIONS = ROOT / "docs" / "site" / "extensions"


def test_a_docstring_keeps_its_formulas_and_its_characters():
    plain = runpy.run_path(str(EXTENSIONS / "plain_docstrings.py"))["plain"]
    text = "A* y of |x|, as ``a*b``:\n\n    x_s = a* D_\n\nArgs:\n    x: Of *space.\n        More."
    assert plain(text.split("\n")) == [
        r"A\* y of \|x\|, as ``a*b``:",
        "",
        "::",
        "",
        "    x_s = a* D_",
        "",
        "Args:",
        r"    x: Of \*space.",
        "        More.",
    ]


@pytest.mark.slow
def test_the_reference_names_every_command_and_every_public_name():
    import unfog

    pages = runpy.run_path(str(EXTENSIONS / "reference_pages.py"))["pages"]()
    headings = set(re.findall(r"(?m)^## (.+)$", pages["command-line"]))
    assert {"unfog train", "unfog restore", "unfog dmri denoise", "unfog data fetch"} <= headings
    assert "Usage: unfog train" in pages["command-line"]
    modules = {"core", "sampling", "guidance", "posterior", "dmri"} <= set(pages)
    assert modules
    assert "unfog.core.process.variance_preserving" in pages["core"]
    shown = set(re.findall(r"(?m)^## unfog\.(\w+)$", pages["unfog"]))
    assert {"load", "train", "sample", "restore", "Run", "Operator", "samplers"} <= shown
    assert shown <= set(unfog.__all__)


def test_every_learn_page_has_its_picture_exercises_and_code():
    listed = re.findall(r"(?m)^[a-z-]+$", (ROOT / "docs/learn/index.md").read_text("utf-8"))
    pages = {p.stem for p in (ROOT / "docs/learn").glob("*.md")} - {"index"}
    assert set(listed) == pages
    for name in pages:
        text = (ROOT / "docs/learn" / f"{name}.md").read_text("utf-8")
        (program,) = re.findall(r"\.\./\.\./(examples/learn/plot_\w+)\.py", text)
        assert f"sphx_glr_{Path(program).name}_001.png" in text
        assert text.count("<summary>Answer</summary>") == 3
        assert "```python" in text
        assert "src/unfog/" in text
