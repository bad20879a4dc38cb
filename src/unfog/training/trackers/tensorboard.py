"""TensorBoard: event files in the run's own folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfog.files import yaml
from unfog.training.tracking import trackers

FOLDER = "tensorboard"


@trackers.register("tensorboard")
class TensorBoard:
    """Event files in RUN/tensorboard, by the library tensorboardX, which needs no TensorFlow:
    ``tensorboard --logdir`` on the folder of all runs finds them.
    """

    package = "tensorboardX"

    def begin(self, run: Path, config: Mapping[str, Any], known: str | None) -> tuple[None, int]:
        """Begin the event file anew, also of a run that goes on, whose steps are all given again:
        event files are only ever added to, and would keep what a killed run had ahead of its
        checkpoint.
        """
        from tensorboardX import SummaryWriter

        if (run / FOLDER).is_dir():
            shutil.rmtree(run / FOLDER)
        self.writer: Any = SummaryWriter(str(run / FOLDER), flush_secs=5)
        self.writer.add_text("config", f"```yaml\n{yaml.dump(dict(config))}```")
        return None, 0

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of a step."""
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)

    def end(self, finished: bool) -> None:
        """Close the event file."""
        self.writer.close()
