"""Trackio: its local database, wherever trackio keeps it."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from unfog.training.tracking import PROJECT, trackers

REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_BUCKET_ID")


@trackers.register("trackio")
class Trackio:
    """A run of the project "unfog" in trackio's own folder, ``TRACKIO_DIR``, for ``trackio show``.
    What would send it elsewhere is taken out of the environment.
    """

    package = "trackio"

    def begin(self, run: Path, config: Mapping[str, Any], known: str | None) -> tuple[str, int]:
        """Begin a run, or go on after the last step that the database holds."""
        for name in REMOTE:
            os.environ.pop(name, None)
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        # Trackio finds a run by its name alone, and folders of several places may share one.
        mine = known or f"{run.name}-{uuid.uuid4().hex[:8]}"
        held = SQLiteStorage.get_max_step_for_run(PROJECT, mine) or 0
        with redirect_stdout(sys.stderr):
            self.run: Any = trackio.init(
                PROJECT,
                mine,
                config=dict(config),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        return mine, held

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of a step."""
        self.run.log(dict(figures), step=step)

    def end(self, finished: bool) -> None:
        """Wait until all is in the database."""
        import trackio

        with redirect_stdout(sys.stderr):
            trackio.finish()  # also of what trackio would finish, and print, at exit
