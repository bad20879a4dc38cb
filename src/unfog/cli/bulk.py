"""``unfog bulk``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unfog.cli.options import AsJson, emit
from unfog.errors import InputError


def bulk(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND...",
            help="A command that writes a folder, without --out; {} is the item, {base} its path "
            "without the file's ending.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of results, one an item.")
    ],
    items: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|'PATTERN'|LIST",
            help="A folder, a pattern in quotes, a text file of one path a line, or a BIDS data "
            "set, whose subjects are the items.",
        ),
    ] = None,
    parts: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Instead: items 1/N to N/N, for sample --shard {}."),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="The I-th of N shares of the items, for job arrays."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="auto|HOST:PORT",
            help="On a Ray cluster; auto is this machine's, or workers on this machine alone.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="With --ray: how many; what fits by default.")
    ] = None,
    cpus: Annotated[
        int, typer.Option(min=1, help="Processors of a worker, and threads of a computation.")
    ] = 1,
    gpus: Annotated[
        float, typer.Option(min=0, help="With --ray: GPUs of a worker, or a share of one.")
    ] = 0.0,
    memory: Annotated[
        float | None,
        typer.Option(min=0, metavar="GB", help="With --ray: memory that a worker asks for."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="With --ray: seconds that an item may take.")
    ] = None,
    retries: Annotated[
        int,
        typer.Option(min=0, help="With --ray: tries again after a worker's death or a late item."),
    ] = 2,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on: leave what is done, try again what failed."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a command on many items: a folder of results each, with hashes of what was read and
    written.

    What a kill leaves is resumed; the same bytes come from any number of shards or workers. The
    exit status is 1 where an item failed, whose sentence is listed.
    """
    from unfog.cli.bulk_work import CommandWork
    from unfog.cluster import bulk as engine
    from unfog.cluster.items import parts as numbered
    from unfog.cluster.items import read_items
    from unfog.cluster.ray_engine import RayEngine
    from unfog.core.shard import Shard
    from unfog.runs.kept import keeping_runs

    if (items is None) == (parts is None):
        raise InputError("Give --items or --parts, one of them.")
    on_ray = (workers, memory, timeout, gpus or None)
    if ray is None and any(one is not None for one in on_ray):
        raise InputError("--workers, --gpus, --memory and --timeout go with --ray; give it too.")
    if ray is not None and shard is not None:
        raise InputError("Ray shares the items out by itself; leave --shard or --ray out.")
    share = None if shard is None else Shard.parse(shard)
    listed = read_items(items) if items is not None else numbered(parts or 1)
    if share is not None and share.count > len(listed):
        raise InputError(
            f"--shard is out of range: there are {len(listed)} items; give N up to that."
        )
    work = CommandWork(tuple(command), listed[0], cpus)
    work.check()
    size = None if memory is None else int(memory * 1e9)
    on = None if ray is None else RayEngine(ray, workers, cpus, gpus, size, timeout, retries)
    with keeping_runs():
        result = engine.bulk(listed, work, out, shard=share, resume=resume, engine=on)
    emit(result, as_json)
    if result["failed"]:
        raise typer.Exit(1)
