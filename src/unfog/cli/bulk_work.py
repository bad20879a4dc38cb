"""A command of unfog as the work of bulk: parsed once for each item, run in this process."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer

from unfog.cluster.identity import identity, model_folder
from unfog.cluster.items import Item
from unfog.errors import InputError
from unfog.files.bids import DESCRIPTION

# The error of parsing, be it click's or that of the copy which newer versions of typer hold.
USAGE: type[Exception] = typer.BadParameter.__bases__[0]


@dataclass(frozen=True)
class CommandWork:
    """A command whose words say ``{}``, or ``{base}``, where an item goes.

    Args:
        words: The command, without ``unfog`` and ``--out``.
        first: An item, to parse the command with.
        threads: Threads of a computation, which its last bits may depend on.
    """

    words: tuple[str, ...]
    first: Item
    threads: int = 1

    def check(self) -> None:
        """``InputError`` where bulk cannot do the command, or the command takes no such item."""
        if "--out" in self.words or "-o" in self.words:
            raise InputError("--out goes before the command: each item has a folder in it.")
        if not any("{}" in word or "{base}" in word for word in self.words):
            raise InputError(
                "Write {} where the item goes, such as unfog bulk --items scans/ --out restored "
                "restore t1-slices {} --task denoise."
            )
        with self._parsed(self.first, Path("results")):
            pass  # what it names is looked at when it runs

    def identity(self) -> Mapping[str, Any]:
        """The command, the version, and the models that it names or takes by default."""
        with self._parsed(self.first, Path("results")) as context:
            texts = [text for text in _texts(context.params) if text != self.first.text]
        models = {text: at for text in texts if (at := model_folder(text))}
        return {"command": list(self.words), **identity(models), "threads": self.threads}

    def inputs(self, item: Item) -> Sequence[Path]:
        """The files and folders that an item's command names, but for models."""
        if item.subject is not None:
            root = Path(item.text)
            shared = [path for path in root.iterdir() if path.is_file()]
            return [root / f"sub-{item.subject}", *sorted(shared)]
        with self._parsed(item, Path("results")) as context:
            texts = [text for text in _texts(context.params) if Path(text).exists()]
        return [Path(text) for text in texts if text == item.text or not model_folder(text)]

    def __call__(self, item: Item, folder: Path) -> Sequence[str]:
        """Run the command, its results in an empty folder; what it says is not printed."""
        import torch

        torch.set_num_threads(self.threads)
        silent = io.StringIO()
        with (
            warnings.catch_warnings(record=True) as told,
            redirect_stdout(silent),
            redirect_stderr(silent),
            self._parsed(item, folder) as context,
        ):
            warnings.simplefilter("default")
            context.command.invoke(context)
        return [str(one.message) for one in told if one.category is UserWarning]

    @contextmanager
    def _parsed(self, item: Item, folder: Path) -> Iterator[typer.Context]:
        """The context of the command for an item; ``InputError`` where its words are not a
        command's.
        """
        command = _commands()
        words, context = self._filled(item, folder), None
        try:
            while hasattr(command, "commands"):
                name, *words = words or [""]
                found = command.commands.get(name)
                if found is None:
                    raise InputError(f"There is no command {name!r}; unfog --help lists them.")
                command = found
            if command.name == "bulk" or all(one.name != "out" for one in command.params):
                raise InputError(
                    f"unfog {command.name} writes no folder; bulk runs commands that have --out."
                )
            context = command.make_context(command.name, words)
        except USAGE as error:
            raise InputError(error.format_message()) from error  # type: ignore[attr-defined]
        with context:
            yield context

    def _filled(self, item: Item, folder: Path) -> list[str]:
        """The words with the item in its place."""
        words = [w.replace("{base}", item.base).replace("{}", item.text) for w in self.words]
        if item.subject is not None:
            if words[0] != "dmri":
                raise InputError(
                    f"{item.text} is a BIDS data set ({DESCRIPTION}), whose diffusion scans unfog "
                    "dmri takes; choose files by a pattern such as 'set/sub-*/anat/*_T1w.nii.gz'."
                )
            words += ["--subject", item.subject]
        return [*words, "--out", str(folder)]


@cache
def _commands() -> Any:
    """All commands; made once, which takes 50 ms."""
    from typer.main import get_command

    from unfog.cli.main import app

    return get_command(app)


def _texts(params: Mapping[str, Any]) -> list[str]:
    """Every text and path among a command's values but its output."""
    values = [value for name, value in params.items() if name != "out"]
    flat = [v for value in values for v in (value if isinstance(value, list | tuple) else [value])]
    return [str(value) for value in flat if isinstance(value, str | Path)]
