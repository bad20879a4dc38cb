"""Work for bulk that tallies what it does, and fails, dies or dawdles where a file tells it to."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unfog.cluster.items import Item
from unfog.errors import InputError


@dataclass(frozen=True)
class Tallied:
    """Hashes the item's file. In the folder ``told`` a file NAME.die, NAME.dawdle or NAME.fail
    disturbs an item; the first two do so once.
    """

    told: Path
    seconds: float = 0.0
    weights: str = "a"
    begun: int = field(default_factory=os.getpid)

    def identity(self) -> Mapping[str, Any]:
        # What workers of other weights would see; a worker is a process of its own.
        other = self.told / "weights"
        elsewhere = other.exists() and os.getpid() != self.begun
        weights = other.read_text() if elsewhere else self.weights
        return {"command": "tally", "unfog": "0", "weights": weights}

    def inputs(self, item: Item) -> Sequence[Path]:
        return [Path(item.text)]

    def __call__(self, item: Item, folder: Path) -> Sequence[str]:
        with open(self.told / "tally", "a") as tally:
            tally.write(item.name + "\n")
        time.sleep(self.seconds)
        if self._asked(item, "die", once=True):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._asked(item, "dawdle", once=True):
            time.sleep(60)
        if self._asked(item, "fail", once=False):
            raise InputError(f"{item.name} was told to fail; take the file away.")
        digest = hashlib.sha512(Path(item.text).read_bytes())
        (folder / "digest.txt").write_text(digest.hexdigest())
        return []

    def _asked(self, item: Item, what: str, once: bool) -> bool:
        file = self.told / f"{item.name}.{what}"
        asked = file.exists()
        if asked and once:
            file.unlink()
        return asked


def files(folder: Path, count: int) -> list[Item]:
    """So many small files, as items."""
    folder.mkdir()
    paths = [folder / f"scan-{k:03d}.npy" for k in range(count)]
    for k, path in enumerate(paths):
        path.write_text(f"the content of {k}")
    return [Item(path.stem, str(path)) for path in paths]


def contents(out: Path) -> dict[str, bytes]:
    """Every file of a folder of results, but for what shards add."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith("manifest")
    }
