"""``unfog ema``: another average of a run's weights, made from its snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unfog.files.folder import check_new, new_folder
from unfog.runs.folder import locate, run_config, write_run
from unfog.training.checkpoint import newest_metadata
from unfog.training.posthoc import reconstruct
from unfog.training.snapshots import stored


def average_run(source: str | Path, length: float, out: Path) -> dict[str, Any]:
    """A run with the weights of another averaged by the power function of a length.

    Args:
        source: The run, trained with snapshots.
        length: Standard deviation of the average over training, as a share of it.
        out: The new run's folder.

    Returns:
        What the command prints: the folder, the run, and the snapshots averaged.
    """
    check_new(out)
    path = locate(source)
    weights, facts = reconstruct(stored(path), length)
    with new_folder(out) as folder:
        write_run(folder, weights, run_config(path), newest_metadata(path))
    return {"out": str(out), "run": path.name, **facts}
