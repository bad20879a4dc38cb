"""The reference's pages, made from the code: the public face, the packages, and the command line
from the commands themselves. They are written to docs/reference before anything is read.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unfog.core.registry import Registry
from unfog.errors import MissingExtra

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PACKAGES = {
    "core": "The one idea, and the words that every system is made of.",
    "sampling": "Grids, one loop, stateless samplers.",
    "guidance": "From a denoiser to a denoiser that is led.",
    "posterior": "From a denoiser to the denoiser of x_0 given a measurement.",
    "dmri": "Diffusion MRI on arrays.",
}


def face() -> str:
    """The page of the names that ``import unfog`` gives."""
    import unfog

    lines = ["# unfog", "", "What a user in Python needs; each name is loaded when first used.", ""]
    for name in sorted(unfog.__all__):
        value = getattr(unfog, name)
        if inspect.ismodule(value) or name.startswith("__"):
            continue
        if isinstance(value, Registry):
            lines += _registry(name, value)
            continue
        kind = "class" if inspect.isclass(value) else "function"
        members = ["   :members:"] if kind == "class" else []
        lines += [
            f"## unfog.{name}",
            "",
            "```{eval-rst}",
            f".. auto{kind}:: {value.__module__}.{value.__qualname__}",
        ]
        lines += ["   :no-index:", *members, "```", ""]
    return "\n".join(lines) + "\n"


def _registry(name: str, value: Registry[Any]) -> list[str]:
    """A registry as the list of its names."""
    names = ", ".join(f"`{n}`" for n in sorted(value.names()))
    return [
        f"## unfog.{name}",
        "",
        f"A registry; `unfog.{name}.build(NAME)` makes one. {names}.",
        "",
    ]


def package(name: str, about: str) -> str:
    """The page of a package: every public module of it."""
    root = importlib.import_module(f"unfog.{name}")
    modules = [
        found.name
        for found in pkgutil.walk_packages(root.__path__, f"unfog.{name}.")
        if not found.ispkg and _imports(found.name)
    ]
    lines = [f"# unfog.{name}", "", about, ""]
    for module in modules:
        lines += [f"## {module.removeprefix('unfog.')}", "", "```{eval-rst}"]
        lines += [f".. automodule:: {module}", "   :members:", "```", ""]
    return "\n".join(lines)


def _imports(module: str) -> bool:
    """Whether a module can be imported here: one of an extra that is absent cannot."""
    try:
        importlib.import_module(module)
    except (ImportError, MissingExtra):
        return False
    return True


def command_line() -> str:
    """The page of the command line: each command's help and options."""
    import click
    import typer

    from unfog.cli.main import app as commands

    lines = [
        "# The command line",
        "",
        "Made from the commands themselves; `-h` prints the same.",
        "",
    ]

    def describe(command: Any, words: str, context: Any) -> None:
        here = click.Context(command, info_name=words.rsplit(" ", 1)[-1], parent=context)
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                describe(inner, f"{words} {name}", here)
            return
        lines.extend([f"## {words}", "", "```text", command.get_help(here).strip(), "```", ""])

    describe(typer.main.get_command(commands), "unfog", None)
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Every page of the reference by its name."""
    made = {"unfog": face(), "command-line": command_line()}
    made |= {name: package(name, about) for name, about in PACKAGES.items()}
    order = ["unfog", *PACKAGES, "command-line"]
    made["index"] = "# Reference\n\n```{toctree}\n" + "\n".join(order) + "\n```\n"
    return made


def _write(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", _write, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
