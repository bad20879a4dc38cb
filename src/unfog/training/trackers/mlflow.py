"""MLflow: a database beside the run, which the runs of one folder share."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfog.files.yaml import flat
from unfog.training.tracking import PROJECT, trackers

LONGEST, MOST = 6000, 100  # characters of a parameter, and parameters of a call


@trackers.register("mlflow")
class MLflow:
    """A run of the experiment "unfog" in mlflow.db beside the run's folder: ``mlflow ui
    --backend-store-uri sqlite:///runs/mlflow.db``. Nothing is sent to a server.
    """

    package = "mlflow"

    def begin(self, run: Path, config: Mapping[str, Any], known: str | None) -> tuple[str, int]:
        """Begin a run with the config's settings as its parameters, or go on after the last step
        that the database holds.
        """
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        self.client: Any = MlflowClient(f"sqlite:///{run.parent.resolve() / 'mlflow.db'}")
        if known is not None:
            self.client.update_run(known, status="RUNNING")
            self.mine = known
            held = self.client.get_run(known).data.metrics
            steps = (row.step for key in held for row in self.client.get_metric_history(known, key))
            return known, max(steps, default=0)
        experiment = self.client.get_experiment_by_name(PROJECT)
        number = experiment.experiment_id if experiment else self.client.create_experiment(PROJECT)
        self.mine = str(self.client.create_run(number, run_name=run.name).info.run_id)
        params = [Param(key, str(value)[:LONGEST]) for key, value in flat(config).items()]
        for first in range(0, len(params), MOST):
            self.client.log_batch(self.mine, params=params[first : first + MOST])
        return self.mine, 0

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of a step."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in figures.items()]
        self.client.log_batch(self.mine, metrics=metrics)

    def end(self, finished: bool) -> None:
        """Say how the run ended."""
        self.client.set_terminated(self.mine, "FINISHED" if finished else "KILLED")
