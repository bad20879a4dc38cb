"""What bulk work costs: items a CPU second of two shards, and of Ray with two workers, over two
plain processes that call the command in a loop; and the memory of a driver of many items.

    python benchmarks/bulk.py --items 24 --simulated 100000 --out benchmarks/results/bulk.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from record import write_record

from unfog.cli.bulk_work import CommandWork
from unfog.cluster.bulk import bulk, in_this_process
from unfog.cluster.items import Item, read_items
from unfog.cluster.ray_engine import RayEngine
from unfog.core.shard import Shard
from unfog.files.output import write_image
from unfog.runs.kept import keeping_runs

COMMAND = "restore t1-slices {} --task denoise --noise 20 --samples 8 --steps 8"
TICK = os.sysconf("SC_CLK_TCK")


def tree_seconds() -> float:
    """CPU seconds of this process and of all below it, those that have ended included."""
    parent, spent = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parent[int(entry.name)] = int(fields[1])
            spent[int(entry.name)] = sum(map(int, fields[11:15])) / TICK
    total, mine = 0.0, {os.getpid()}
    while grown := {pid for pid, above in parent.items() if above in mine} - mine:
        mine |= grown
    for pid in mine:
        total += spent.get(pid, 0.0)
    return total


class Clock:
    """CPU seconds between the end of the first ``skip`` items and the end of the last."""

    def __init__(self, engine, skip: int) -> None:
        self.engine, self.skip, self.marks = engine, skip, []

    def __call__(self, items: Sequence[Item], work, out: Path, told) -> None:
        def counted(item: Item, sentence: str | None) -> None:
            told(item, sentence)
            self.marks.append(tree_seconds())

        self.engine(items, work, out, counted)

    def rate(self) -> tuple[int, float]:
        """Items and their CPU seconds, without the first, during which models are loaded."""
        return len(self.marks) - self.skip, self.marks[-1] - self.marks[self.skip - 1]


def plainly(items: Sequence[Item], work, out: Path, told) -> None:
    """The command in a loop: no hashes, no record, no manifest."""
    for item in items:
        (out / item.name).mkdir(parents=True)
        work(item, out / item.name)
        told(item, None)


def arm(name: str, folder: Path, out: Path) -> None:
    """One process of an arm; prints items and CPU seconds."""
    items = read_items(str(folder))
    work = CommandWork(tuple(COMMAND.split()), items[0])
    kind, _, shard = name.partition(":")
    with keeping_runs():
        if kind == "plain":
            clock = Clock(plainly, 1)
            own = [items[k] for k in Shard.parse(shard).of(len(items))]
            clock(own, work, out, lambda item, sentence: None)
        elif kind == "shard":
            clock = Clock(in_this_process, 1)
            bulk(items, work, out, shard=Shard.parse(shard), engine=clock)
        else:
            clock = Clock(RayEngine(workers=2), 2)
            bulk(items, work, out, engine=clock)
    sys.stdout.write(json.dumps(clock.rate()))


def measured(names: Sequence[str], folder: Path, out: Path) -> float:
    """Items a CPU second of processes that run at the same time."""
    command = [sys.executable, __file__, "--folder", str(folder), "--results", str(out), "--arm"]
    running = [subprocess.Popen([*command, name], stdout=subprocess.PIPE) for name in names]
    told = [json.loads(one.communicate()[0]) for one in running]
    assert all(one.returncode == 0 for one in running)
    return sum(count for count, _ in told) / sum(seconds for _, seconds in told)


@dataclass(frozen=True)
class Simulated:
    """An item that writes a few bytes."""

    def identity(self) -> dict[str, str]:
        return {"command": "simulated"}

    def inputs(self, item: Item) -> list[Path]:
        return []

    def __call__(self, item: Item, folder: Path) -> list[str]:
        (folder / "result.txt").write_text(item.text)
        return []


def driver(count: int, out: Path) -> None:
    """A driver of so many simulated items; prints its peak memory and its seconds."""
    items = [Item(f"item-{k:06d}", str(k)) for k in range(count)]
    begun = time.perf_counter()
    result = bulk(items, Simulated(), out, engine=RayEngine(workers=2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - begun
    told = {"items": count, "done": result["done"], "peak MB": round(peak)}
    sys.stdout.write(json.dumps({**told, "seconds": round(seconds)}))


def pictures(folder: Path, count: int) -> None:
    """Noisy pictures of 96 x 80."""
    folder.mkdir()
    for k in range(count):
        noise = np.random.default_rng(k).normal(100, 20, (96, 80))
        write_image(folder / f"scan-{k:03d}.png", noise.clip(0, 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--simulated", type=int, default=0)
    parser.add_argument("--out", type=Path)
    for name in ("--arm", "--folder", "--results"):  # how it calls itself
        parser.add_argument(name, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.arm == "driver":
        return driver(int(asked.folder), Path(asked.results))
    if asked.arm:
        return arm(asked.arm, Path(asked.folder), Path(asked.results))
    with tempfile.TemporaryDirectory() as scratch:
        figures = compared(asked.items, asked.repeats, Path(scratch)) if asked.items else {}
        if asked.simulated:
            words = ["--arm", "driver", "--folder", str(asked.simulated)]
            words += ["--results", f"{scratch}/simulated"]
            done = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE)
            figures["driver"] = json.loads(done.stdout)
    import ray
    import torch

    write_record(figures, (ray, torch), asked.out)
    return None


def compared(count: int, repeats: int, scratch: Path) -> dict[str, object]:
    """Items a CPU second of each arm, in turns, and their ratios to the plain one's."""
    pictures(scratch / "in", count)
    arms = {
        "plain": ["plain:1/2", "plain:2/2"],
        "shard": ["shard:1/2", "shard:2/2"],
        "ray": ["ray"],
    }
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for repeat in range(repeats):
        for name, processes in arms.items():
            out = scratch / f"{name}-{repeat}"
            rates[name].append(measured(processes, scratch / "in", out))
            sys.stderr.write(f"{name}: {rates[name][-1]:.4f} items a CPU second\n")
    middle = {name: statistics.median(found) for name, found in rates.items()}
    return {
        "item": f"unfog {COMMAND}, 96 x 80",
        "items": count,
        "items a CPU second": {name: [round(r, 4) for r in found] for name, found in rates.items()},
        "shard over plain": round(middle["shard"] / middle["plain"], 3),
        "ray over plain": round(middle["ray"] / middle["plain"], 3),
    }


if __name__ == "__main__":
    main()
