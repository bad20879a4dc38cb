"""The documentation's Python runs, its links lead somewhere, and the table of systems is what
running says.
"""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/learn").glob("*.md")]
)


MADE = ("reference/index.md", "examples/index.rst", "learn/gallery/index.rst")  # by `make docs`


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if "```python" in p.read_text("utf-8")], ids=lambda p: p.name
)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    """As it is written, but for the number of training steps."""
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", np.random.default_rng(0).random((8, 16, 16)))
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block.replace("20_000", "2"), page.name, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    links = [link for link in links if link not in MADE]
    assert [link for link in links if not (page.parent / link).exists()] == []
    assert [link for link in links if (page.parent / link).stat().st_size == 0] == []


def test_the_commands_of_the_readme_exist():
    from unfog.cli.main import app

    groups = {group.typer_instance.info.name for group in app.registered_groups}
    known = {
        command.name or command.callback.__name__ for command in app.registered_commands
    } | groups
    used = set(
        re.findall(
            r"\bunfog ([a-z]+)\b",
            "\n".join(re.findall(r"(?m)^(?:    |\$ ).*$", (ROOT / "README.md").read_text("utf-8"))),
        )
    )
    assert used <= known


@pytest.mark.slow
def test_the_table_of_systems_is_what_running_says():
    pytest.importorskip("sklearn")
    import runpy

    made = runpy.run_path(str(ROOT / "docs" / "make_systems.py"))
    assert made["page"]() == (ROOT / "docs" / "systems.md").read_text("utf-8")


def test_the_page_on_checkpoints_is_what_was_measured():
    import runpy

    made = runpy.run_path(str(ROOT / "docs" / "make_checkpoints.py"))
    assert made["page"]() == (ROOT / "docs" / "checkpoints.md").read_text("utf-8")
