"""A share of samples: which of them it holds, and their numbers in the names of files."""

from __future__ import annotations

from pathlib import Path

from unfog.core.shard import Shard
from unfog.errors import InputError
from unfog.runs.run import Run
from unfog.runs.sample import BATCH


def rows_of(run: Run, shard: Shard, total: int) -> range:
    """The numbers of a shard's samples: whole batches, as the last bits of a sample may depend on
    how many are computed at a time.

    Raises:
        InputError: There are more shards than batches.
    """
    batch = run.config["sampling"].get("batch", BATCH)
    batches = -(-total // batch)
    if shard.count > batches:
        raise InputError(
            f"--shard is out of range: {total} samples are {batches} "
            f"batch{'' if batches == 1 else 'es'} of {batch}; give N up to {batches}."
        )
    share = shard.of(batches)
    return range(share.start * batch, min(share.stop * batch, total))


def number_from(folder: Path, ids: range) -> None:
    """Give the files sample-0000 and on the numbers of their samples, the last first."""
    for k in reversed(range(len(ids) if ids.start else 0)):
        for file in folder.glob(f"sample-{k:04d}.*"):
            file.rename(file.with_name(file.name.replace(f"{k:04d}", f"{ids[k]:04d}", 1)))
