"""The training of compared runs: what it costs, and what some of them begin from.

Latent diffusion begins from an autoencoder. The comparison trains one for every seed, in ``SHARE``
of the minutes; encoding the data with it is charged too, and what is left is the diffusion model's.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from unfog.files import json_text
from unfog.files.output import write_json
from unfog.runs.train_from_config import training_data
from unfog.runs.train_system import configured
from unfog.systems import registry
from unfog.workflows.compare_budget import of_system, settings_of
from unfog.workflows.processes import DONE, LOGS, train_in_process

COST = "cost.json"
FIRST = {"autoencoder": "autoencoder-kl"}  # by the codec of a system, what trains it
SHARE = 0.5  # of the minutes, for what a run begins from


def train_compared(
    system: str, data: str, run: Path, own: Mapping[str, Any], minutes: float, seed: int
) -> str:
    """Train one run of a comparison, and what it begins from; what is finished stays.

    Args:
        system: A system by name.
        data: Its data.
        run: The run's folder.
        own: The user's settings, as of ``compare``.
        minutes: CPU minutes of all its training.
        seed: Of the run.

    Returns:
        "done", or the last line that it said.
    """
    told: dict[str, Any] = {}
    first = begins_from(system, own)
    if first is not None:
        # The autoencoder, in its share of the minutes.
        before, file = first_folder(run), run.parent / f"{system}-{first}.json"
        chosen = settings_of(first, data, own, SHARE * minutes, file)
        state = train_run(first, data, before, {**chosen, "training.seed": seed})
        if state != DONE:
            return f"{first}: {state}"
        # The latents of the data, which are kept, and the minutes that are left.
        told = {"codec.run": str(before.resolve())}
        of_data = {k: v for k, v in of_system(system, own).items() if k.startswith("data.")}
        _encode(system, data, {**of_data, **told}, before)
        minutes = min((1 - SHARE) * minutes, minutes - cost_of(before)["cpu"] / 60)
    own = {**own, **{f"{system}:{key}": value for key, value in told.items()}}
    chosen = settings_of(system, data, own, max(0.0, minutes), run.parent / f"{system}.json")
    return train_run(system, data, run, {**chosen, **told, "training.seed": seed})


def begins_from(system: str, own: Mapping[str, Any]) -> str | None:
    """The system whose run this one begins from; None where it begins from nothing, or the user
    has set the run.
    """
    needed = FIRST.get(registry.get(system).codec or "")
    return None if "codec.run" in of_system(system, own) else needed


def first_folder(run: Path) -> Path:
    """Where the run lies that a run begins from."""
    return run.parent / f"{run.name}-first"


def train_run(system: str, data: str, run: Path, settings: Mapping[str, Any]) -> str:
    """Train one run, and add what it cost in CPU and wall seconds to its file."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    log = run.parent / LOGS / f"{run.name}.txt"
    threads = int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads()))
    state = train_in_process(system, data, run, settings, log, threads=threads)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if run.is_dir():
        _charge(run, spent, time.perf_counter() - begun)
    return state


def cost_of(run: Path) -> dict[str, float]:
    """CPU and wall seconds of a run's training so far."""
    file = run / COST
    found: dict[str, float] = {"cpu": 0.0, "wall": 0.0}
    return {**found, **json_text.read(file)} if file.is_file() else found


def whole_cost(run: Path) -> dict[str, float]:
    """CPU and wall seconds of a run's training, with what it began from, whose CPU seconds are
    "first" where there is one.
    """
    own, before = cost_of(run), first_folder(run)
    if not before.is_dir():
        return own
    theirs = cost_of(before)
    return {**{name: own[name] + theirs[name] for name in own}, "first": theirs["cpu"]}


def _encode(system: str, data: str, settings: Mapping[str, Any], charged: Path) -> None:
    """Encode the data that the settings say, unless their latents are kept already."""
    cpu, wall = time.process_time(), time.perf_counter()
    pairs = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    training_data(*configured(system, data, pairs))
    _charge(charged, time.process_time() - cpu, time.perf_counter() - wall)


def _charge(run: Path, cpu: float, wall: float) -> None:
    """Add seconds to what a run cost."""
    so_far = cost_of(run)
    cost = {"cpu": so_far["cpu"] + cpu, "wall": so_far["wall"] + wall}
    write_json(run / COST, cost, overwrite=True)
