"""Weights & Biases, offline: a folder beside the run, which the user may send or not."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfog.training.tracking import PROJECT, trackers


@trackers.register("wandb")
class WandB:
    """An offline run of the project "unfog" in the folder wandb beside the run's; nothing is sent,
    until the user calls ``wandb sync`` on it.
    """

    package = "wandb"

    def begin(self, run: Path, config: Mapping[str, Any], known: str | None) -> tuple[str, int]:
        """Begin an offline run. One that goes on is written anew under its id, all its steps given
        again: ``wandb sync`` of a second folder would write over what the first one sent.
        """
        os.environ["WANDB_ERROR_REPORTING"] = "false"
        import wandb

        mine = known or uuid.uuid4().hex[:8]
        for older in (run.parent / "wandb").glob(f"offline-run-*-{mine}"):
            shutil.rmtree(older)
        self.run: Any = wandb.init(
            project=PROJECT,
            name=run.name,
            id=mine,
            dir=str(run.parent),
            config=dict(config),
            mode="offline",
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )
        return mine, 0

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of a step."""
        self.run.log(dict(figures), step=step)

    def end(self, finished: bool) -> None:
        """Close the run's file."""
        self.run.finish(exit_code=0 if finished else 1)
