"""The training log: ``metrics.jsonl`` and ``metrics.csv``, deterministic figures only.

A checkpoint records how long both files were and their SHA-256; a resumed run cuts them there and
goes on, so they end as the unbroken run's would.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from unfog.errors import InputError
from unfog.files import json_text
from unfog.training.checkpoint import writing
from unfog.training.tracking import Tracking

COLUMNS = ("step", "loss", "lr", "grad_norm")
FILES = ("metrics.jsonl", "metrics.csv")


class Metrics:
    """Writes the training log of a run: a row for every ``every`` steps, with the mean of their
    loss and gradient norm. Skipped steps stand in the JSON lines, with their samples.

    Args:
        run: The run folder.
        every: The steps of a row.
        state: What ``state()`` gave at the checkpoint that a resumed run continues from.
        tracking: Given every row, also those that a resumed run has already.
    """

    def __init__(
        self,
        run: Path,
        every: int,
        state: dict[str, Any] | None = None,
        tracking: Tracking | None = None,
    ) -> None:
        self.every, self.tracking = every, tracking
        self.window: list[list[float]] = [] if state is None else state["window"]
        lengths = None if state is None else state["bytes"]
        self._hashes = [hashlib.sha256() for _ in FILES]
        with writing("The metrics"):
            self.files = [open(run / name, "wb" if lengths is None else "r+b") for name in FILES]  # noqa: SIM115  (closed by __exit__)
            if lengths is None:
                self._append(1, f"{','.join(COLUMNS)}\n")
            else:
                self._cut(lengths, (state or {}).get("sha256", {}))
        if tracking is not None and tracking.trackers and lengths is not None:
            for line in (run / FILES[0]).read_text("utf-8").splitlines():
                tracking.row(json_text.parse(line, FILES[0], finite=False))

    def _append(self, index: int, text: str) -> None:
        """Write to a file, and into its hash."""
        content = text.encode()
        self.files[index].write(content)
        self._hashes[index].update(content)

    def _cut(self, lengths: dict[str, int], hashes: dict[str, str]) -> None:
        """Truncate the files to what they were at the checkpoint; ``InputError`` where what is left
        differs from it.
        """
        for name, file, digest in zip(FILES, self.files, self._hashes, strict=True):
            if file.seek(0, os.SEEK_END) < lengths[name]:
                raise InputError(
                    f"{name} is shorter than when the checkpoint was saved; restore it from a "
                    "copy or train anew."
                )
            file.seek(0)
            digest.update(file.read(lengths[name]))
            if digest.hexdigest() != hashes.get(name, digest.hexdigest()):
                raise InputError(
                    f"{name} is not as it was when the checkpoint was saved (its SHA-256 differs); "
                    "restore it from a copy or train anew."
                )
            file.truncate(lengths[name])
            file.seek(0, os.SEEK_END)

    def add(self, step: int, loss: float, lr: float, grad_norm: float) -> None:
        """Record an update.

        Args:
            step: Its number, from 1.
            loss: The mean loss of its batch.
            lr: Its learning rate.
            grad_norm: The gradient's norm before clipping.
        """
        self.window.append([loss, grad_norm])
        self._close(step, lr)

    def skip(self, step: int, lr: float, samples: list[int]) -> None:
        """Record a step without an update.

        Args:
            step: Its number, from 1.
            lr: Its learning rate.
            samples: The samples whose loss was not finite.
        """
        self._write({"step": step, "skipped": samples})
        self._close(step, lr)

    def _close(self, step: int, lr: float) -> None:
        """Write the row that ends with this step, if one does."""
        if step % self.every or not self.window:
            return
        loss, norm = (sum(column) / len(self.window) for column in zip(*self.window, strict=True))
        self.window = []
        row = dict(zip(COLUMNS, (step, loss, lr, norm), strict=True))
        self._write(row, ",".join(map(repr, row.values())))

    def _write(self, row: dict[str, Any], line: str | None = None) -> None:
        texts = (json.dumps(row), line)
        with writing("The metrics"):
            for index, (text, file) in enumerate(zip(texts, self.files, strict=True)):
                if text is not None:
                    self._append(index, f"{text}\n")
                file.flush()  # so that a run can be watched; fsync waits for the checkpoint
        if self.tracking is not None:
            self.tracking.row(row)

    def state(self) -> dict[str, Any]:
        """Flush the files to disk; returns what a checkpoint stores of them: their lengths in
        bytes, their SHA-256, and the steps of the row that is not complete yet.
        """
        with writing("The metrics"):
            for file in self.files:
                file.flush()
                os.fsync(file.fileno())
        return {
            "bytes": {name: file.tell() for name, file in zip(FILES, self.files, strict=True)},
            "sha256": {
                name: digest.hexdigest() for name, digest in zip(FILES, self._hashes, strict=True)
            },
            "window": self.window,
        }

    def __enter__(self) -> Metrics:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with writing("The metrics"), ExitStack() as stack:
            for file in self.files:
                stack.callback(file.close)
