"""One item of bulk work: done once, there complete with its record or not at all.

Results lie in ``OUT/NAME``, with ``item.json``: the SHA-256 of what was read and of what was
written. The folder appears by one rename, record included, so a kill at any instant leaves an item
done or not done; an item that is done and unchanged is never done again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from unfog.cluster.items import Item
from unfog.errors import InputError
from unfog.files.listing import files_below
from unfog.files.output import replace_durably, sync_folder, write_durably

RECORD = "item.json"
WORKING = ".working-"  # how the name of what is on its way begins
FAILED = ".failed"  # the folder of what failed, a sentence each


class Work(Protocol):
    """What is done with each item, wherever."""

    def identity(self) -> Mapping[str, Any]:
        """What results depend on besides the item: the command, versions, weights by hash."""

    def inputs(self, item: Item) -> Sequence[Path]:
        """The files and folders that an item reads; ``InputError`` where it asks for nonsense."""

    def __call__(self, item: Item, folder: Path) -> Sequence[str]:
        """Write an item's results into an empty folder, and return its warnings."""


def do(work: Work, item: Item, out: Path) -> str | None:
    """Do an item, unless it is done.

    Args:
        work: What to do.
        item: The item.
        out: The folder of all results.

    Returns:
        None, or the sentence that says why it failed, which also lies in ``OUT/.failed``.
    """
    failed = out / FAILED / f"{item.name}.txt"
    try:
        inputs = _hashes(work.inputs(item))
        if not is_done(out / item.name, inputs):
            _make(work, item, inputs, out)
    except Exception as error:  # one item's failure is no other's
        sentence = _sentence(error)
        note_failure(out, item.name, sentence)
        return sentence
    failed.unlink(missing_ok=True)
    return None


def note_failure(out: Path, name: str, sentence: str) -> None:
    """Keep the sentence of an item that failed, until it is done."""
    (out / FAILED).mkdir(exist_ok=True)
    replace_durably(out / FAILED / f"{name}.txt", (sentence + "\n").encode())


def is_done(folder: Path, inputs: Mapping[str, str]) -> bool:
    """Whether a folder holds an item's results of these inputs, whole and unchanged."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
        outputs = {name: _sha256(folder / name) for name in record["outputs"]}
    except (OSError, ValueError, KeyError):
        return False
    return bool(record["inputs"] == dict(inputs) and record["outputs"] == outputs)


def _make(work: Work, item: Item, inputs: Mapping[str, str], out: Path) -> None:
    """Do an item in a folder of its own, and put that in place."""
    # Beside where it will be, so that relative paths in it hold; of a unique name, since a worker
    # that was given up may still be at work.
    folder = out / f"{WORKING}{item.name}.{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        warnings = list(work(item, folder))
        written = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        outputs = {str(path.relative_to(folder)): _sha256(path) for path in written}
        record = {"inputs": dict(inputs), "outputs": outputs, "warnings": warnings}
        write_durably(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())
        shutil.rmtree(out / item.name, ignore_errors=True)  # what was changed since
        os.rename(folder, out / item.name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    sync_folder(out)


def clear_scratch(out: Path, names: frozenset[str]) -> None:
    """Remove what killed workers left of items of these names."""
    for scratch in out.glob(f"{WORKING}*"):
        if scratch.name.removeprefix(WORKING).rpartition(".")[0] in names:
            shutil.rmtree(scratch, ignore_errors=True)


def _sentence(error: Exception) -> str:
    """What an error says to whoever can mend it, on one line."""
    told = getattr(error, "format_message", lambda: str(error))()  # click's own say it so
    text = " ".join(told.split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


def _hashes(paths: Sequence[Path]) -> dict[str, str]:
    """The SHA-256 of each file, and of each file in a folder, by path."""
    return {str(file): _sha256(file) for path in paths for file in files_below(path)}


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
