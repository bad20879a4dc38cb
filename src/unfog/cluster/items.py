"""The items of bulk work: files of a folder, a pattern or a list, subjects of a BIDS data set, or
numbered parts.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unfog.errors import InputError
from unfog.files.bids import DESCRIPTION
from unfog.files.listing import visible

COMPRESSED = (".nii.gz", ".mif.gz")


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of bulk work.

    Args:
        name: Its name, which is that of its folder of results.
        text: What takes the place of ``{}`` in the command.
        subject: The label of a subject, where ``text`` is a BIDS data set.
    """

    name: str
    text: str
    subject: str | None = None

    @property
    def base(self) -> str:
        """The text without the ending of a file: what takes the place of ``{base}``."""
        return without_ending(self.text)


def read_items(source: str) -> list[Item]:
    """The items of a folder, of a pattern such as "scans/*.nii.gz", of a list in a text file (one
    path a line, from the list's folder), or the subjects of a BIDS data set.

    Raises:
        InputError: There are none, one does not exist, or two have the same name.
    """
    path = Path(source)
    if path.is_dir() and (path / DESCRIPTION).is_file():
        found = [folder for folder in visible(path, path.glob("sub-*")) if folder.is_dir()]
        items = [Item(one.name, source, one.name.removeprefix("sub-")) for one in found]
    elif path.is_dir():
        items = _named(path, visible(path, path.iterdir()))
    elif path.is_file():
        items = _named(path.parent, _listed(path))
    else:
        root = Path(source[: len(source) - len(source.lstrip("/"))] or ".", *_fixed(path))
        items = _named(root, visible(root, map(Path, glob.glob(source, recursive=True))))
    if not items:
        raise InputError(
            f"There are no items in {source}; give a folder, a pattern in quotes such as "
            "'scans/*.nii.gz', or a list of one path a line."
        )
    return items


def parts(count: int) -> list[Item]:
    """Items 1/n to n/n, for a command's ``--shard {}``."""
    width = len(str(count))
    return [Item(f"part-{k:0{width}d}", f"{k}/{count}") for k in range(1, count + 1)]


def without_ending(text: str) -> str:
    """A path without the ending of its file's name.

    >>> without_ending("scans/a.b/head.nii.gz"), without_ending("runs/head")
    ('scans/a.b/head', 'runs/head')
    """
    ending = next((one for one in COMPRESSED if text.endswith(one)), Path(text).suffix)
    return text[: len(text) - len(ending)]


def _fixed(path: Path) -> Sequence[str]:
    """The parts of a pattern before the first that chooses."""
    names = [part for part in path.parts[:-1] if part != "/"]
    return names[: next((k for k, name in enumerate(names) if glob.has_magic(name)), len(names))]


def _listed(file: Path) -> list[Path]:
    """The paths in a list; ``InputError`` for one that does not exist."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file} is no list of paths; give a text file of one a line, or a folder."
        ) from error
    paths = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            paths.append(file.parent / line.strip())
            if not paths[-1].exists():
                raise InputError(
                    f"{file}, line {number}: there is no {line.strip()}; mend the list."
                )
    return paths


def _named(root: Path, paths: Iterable[Path]) -> list[Item]:
    """Items named by their paths below ``root``; ``InputError`` where two have one name."""
    items, seen = list[Item](), dict[str, Path]()
    for path in paths:
        below = path.relative_to(root) if path.is_relative_to(root) else path
        name = "--".join(part for part in below.parts if part not in ("/", ".", ".."))
        name = name if path.is_dir() else without_ending(name)
        if name in seen:
            raise InputError(
                f"{seen[name]} and {path} would both be called {name!r}; rename one, or choose by "
                "a pattern such as 'scans/*.nii.gz'."
            )
        seen[name] = path
        items.append(Item(name, str(path)))
    return items
