"""Bulk work: every item done once, by this process or by Ray's workers, resumable after any kill.

``OUT`` holds ``bulk.json`` (the command, version and weights that all items share), a folder an
item, and when a process has ended ``manifest.json``, or ``manifest-I-of-N.json`` of a shard.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unfog.cluster.items import Item
from unfog.cluster.work import FAILED, RECORD, Work, clear_scratch, do
from unfog.core.shard import Shard
from unfog.errors import InputError
from unfog.files.output import sync_folder
from unfog.progress import Reporter, progress

HEADER = "bulk.json"
Told = Callable[[Item, str | None], None]  # an item has ended, well or with a sentence
# (items, work, out, told): does them in any order, and tells of each once
Engine = Callable[[Sequence[Item], Work, Path, Told], None]


def bulk(
    items: Sequence[Item],
    work: Work,
    out: Path,
    *,
    shard: Shard | None = None,
    resume: bool = False,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Do all items, or a shard of them.

    Args:
        items: The items.
        work: What to do with each.
        out: The folder of results; shards share it.
        shard: Which of the items; all by default.
        resume: Go on: what is done and unchanged is left, and what failed is tried again.
        engine: What does them; this process, one after the other, by default.

    Returns:
        Items in all, done, and failed with their sentences.

    Raises:
        InputError: The folder holds other work, or this work and ``resume`` is not asked for.
    """
    own = items if shard is None else [items[k] for k in shard.of(len(items))]
    new = _begin(out, work.identity(), [item.name for item in own], resume)
    try:
        with progress("items") as report:
            (engine or in_this_process)(own, work, out, _Counter(report, len(own)))
    except InputError:
        if new and [path.name for path in out.iterdir()] == [HEADER]:
            shutil.rmtree(out)  # nothing was begun
        raise
    place = out / ("manifest.json" if shard is None else _of_shard(shard))
    failed = _write_manifest(place, out, own)
    result = {"out": str(out), "items": len(own), "done": len(own) - len(failed)}
    return {**result, "failed": failed, "manifest": place.name}


def in_this_process(items: Sequence[Item], work: Work, out: Path, told: Told) -> None:
    """Do items one after the other."""
    for item in items:
        told(item, do(work, item, out))


class _Counter:
    """Shows how many items have ended, and how many of them failed."""

    def __init__(self, report: Reporter, total: int) -> None:
        self.report, self.total, self.ended, self.failed = report, total, 0, 0

    def __call__(self, item: Item, sentence: str | None) -> None:
        self.ended += 1
        self.failed += sentence is not None
        self.report(self.ended, self.total, f"{self.failed} failed" if self.failed else "")


def _of_shard(shard: Shard) -> str:
    return f"manifest-{shard.index}-of-{shard.count}.json"


def _begin(out: Path, identity: Mapping[str, Any], names: Sequence[str], resume: bool) -> bool:
    """Make the folder, and say so, or check that it is of the same work and may be gone on with."""
    header = out / HEADER
    new = not out.exists()
    if not new and _is_strange(out):
        raise InputError(f"{out} holds something else; choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    if not header.is_file():
        _write_whole(header, [json.dumps(identity, indent=1), "\n"])
    found = _header(header)
    if found != identity:
        changed = ", ".join(k for k in identity if found.get(k) != identity[k])
        raise InputError(
            f"{out} holds results of another {changed}; choose another folder, or go on with what "
            "it was begun with."
        )
    begun = next((name for name in names if (out / name).exists()), None)
    if begun is not None and not resume:
        raise InputError(f"{out} holds {begun} already; go on with --resume, or choose another.")
    clear_scratch(out, frozenset(names))
    return new


def _is_strange(out: Path) -> bool:
    """Whether there is something that no bulk work has begun."""
    if not out.is_dir():
        return True
    # Another shard may be about to write the header, which it does before anything else.
    others = [path for path in out.iterdir() if not path.name.startswith(f".tmp-{HEADER}-")]
    return bool(others) and not (out / HEADER).is_file()


def _header(path: Path) -> dict[str, Any]:
    """What a folder of results was begun with."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        return dict(found)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is no table in JSON; restore it, or begin anew.") from error


def _write_manifest(place: Path, out: Path, items: Sequence[Item]) -> dict[str, str]:
    """Write the manifest, an item at a time so that any number of them fits in memory.

    Args:
        place: The file.
        out: The folder of results.
        items: Those that the manifest is of.

    Returns:
        The sentence of each item that failed.
    """
    failed = dict[str, str]()

    def lines() -> Iterator[str]:
        yield "{"
        for k, item in enumerate(items):
            try:
                entry = json.loads((out / item.name / RECORD).read_bytes())
                if (out / FAILED / f"{item.name}.txt").exists():
                    raise FileNotFoundError  # what stands there is of before it failed
            except FileNotFoundError:
                failed[item.name] = _failure(out, item.name)
                entry = {"failed": failed[item.name]}
            yield f"{',' if k else ''}\n {json.dumps(item.name)}: {json.dumps(entry)}"
        yield "\n}\n"

    _write_whole(place, lines())
    return failed


def _failure(out: Path, name: str) -> str:
    try:
        return (out / FAILED / f"{name}.txt").read_text("utf-8").strip()
    except FileNotFoundError:
        return "It was not begun."


def _write_whole(path: Path, pieces: Sequence[str] | Iterator[str]) -> None:
    """Write a file in place of what is there; several processes may, and the last one stands."""
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".tmp-{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
