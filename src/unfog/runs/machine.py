"""What this machine computes fastest with: bfloat16 or float32, one thread or all.

Both are measured in a fifth of a second, once for a processor and a version of torch, and kept in
the cache. A processor without instructions for bfloat16 emulates it, two to four times slower than
float32.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from unfog.core.denoiser import Denoiser, InBfloat16, NetworkDenoiser
from unfog.data.builtin.packages import cache_folder
from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.output import write_json
from unfog.networks.precision import Bfloat16Network

AUTO, PRECISIONS = "auto", ("auto", "bf16", "fp32")
Clock = Callable[[], float]  # seconds
PAYS = 1.2  # times as fast as float32 bfloat16 must be, or as one thread all must be
FLAGS = {"avx512_bf16", "amx_bf16", "avx10_2", "bf16"}  # processors that have it say so
SMALL = 16 * 16  # points of a sample whose convolutions are too small for bfloat16 to pay
SECONDS = 0.05  # of each measurement


def resolve(precision: str, points: int | None = None) -> str:
    """A precision as a run keeps it, "bf16" or "fp32".

    Args:
        precision: "auto", which is the faster here, or one of the two.
        points: Of a sample that the network sees; bfloat16 does not pay for 16 x 16 or fewer.

    Returns:
        The precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"The precision is one of {', '.join(PRECISIONS)}, not {precision!r}.")
    if precision != AUTO:
        return precision
    return "fp32" if points is not None and points <= SMALL else best_precision()


def in_precision(denoiser: Denoiser, precision: str = AUTO) -> Denoiser:
    """A denoiser with its network in the precision asked for, the faster one by default."""
    return InBfloat16(denoiser) if resolve(precision) == "bf16" else denoiser


def network_in(denoiser: NetworkDenoiser, precision: str) -> NetworkDenoiser:
    """The denoiser with its network alone, not its conditions, in "bf16" or "fp32"; the weights
    are shared.
    """
    plain = denoiser.network
    if isinstance(plain, Bfloat16Network):
        plain = plain.network
    network = Bfloat16Network(plain) if precision == "bf16" else plain
    return NetworkDenoiser(
        network,
        denoiser.process,
        denoiser.prediction,
        denoiser.label,
        denoiser.conditioner,
        denoiser.variance,
    ).train(denoiser.training)


def best_precision() -> str:
    """bf16 on a GPU that has it, or where it is at least 1.2 times as fast on this processor."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    flags = processor()["flags"]
    if flags is not None and not FLAGS & set(flags):
        return "fp32"  # known to emulate it, so there is nothing to measure
    return "bf16" if measured()["bfloat16"] >= PAYS else "fp32"


def chosen_threads() -> int:
    """torch's own number of threads, or 1 where so many are not 1.2 times as fast as one."""
    every = torch.get_num_threads()
    return every if every == 1 or measured()["threads"] >= PAYS else 1


def set_threads(count: int | None = None) -> int:
    """Have torch compute with so many threads, or with ``chosen_threads``; their number."""
    torch.set_num_threads(chosen_threads() if count is None else count)
    return torch.get_num_threads()


@cache
def measured() -> dict[str, float]:
    """How many times as fast bfloat16 is as float32, and all threads as one, on this processor."""
    path, key = cache_folder() / "machine.json", _key()
    kept = _read(path)
    if key in kept:
        return dict(kept[key])
    speeds = {"bfloat16": _bfloat16_speed(), "threads": _threads_speed()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**kept, key: speeds}, overwrite=True)
    except (InputError, OSError):
        pass  # a cache that cannot be written is measured again
    return speeds


@cache
def processor() -> dict[str, Any]:
    """The processor's ``name``, and its capability ``flags``; None where the system has no list."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return {"name": platform.processor() or platform.machine(), "flags": None}
    pairs = (line.partition(":") for line in lines)
    fields = {key.strip().lower(): value.strip() for key, _, value in pairs}
    flags = fields.get("flags") or fields.get("features")
    name = fields.get("model name") or platform.machine()
    return {"name": name, "flags": None if flags is None else sorted(flags.split())}


def _key() -> str:
    flags = sorted(FLAGS & set(processor()["flags"] or ()))
    return " | ".join(
        [processor()["name"], *flags, f"torch {torch.__version__}", str(torch.get_num_threads())]
    )


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        kept: dict[str, dict[str, float]] = json_text.read(path)
        return {
            key: value for key, value in kept.items() if {"bfloat16", "threads"} <= value.keys()
        }
    except (OSError, ValueError, AttributeError):
        return {}


def _bfloat16_speed() -> float:
    """Of a convolution and a matrix product, the work of networks."""
    x, w, m = torch.randn(2, 64, 32, 32), torch.randn(64, 64, 3, 3), torch.randn(512, 512)
    half = x.bfloat16(), w.bfloat16(), m.bfloat16()

    def work(x: torch.Tensor, w: torch.Tensor, m: torch.Tensor) -> Callable[[], object]:
        return lambda: (torch.conv2d(x, w, padding=1), m @ m)

    return _seconds(work(x, w, m)) / _seconds(work(*half))


def _threads_speed() -> float:
    every, m = torch.get_num_threads(), torch.randn(512, 512)
    together = _seconds(lambda: m @ m)
    torch.set_num_threads(1)
    try:
        return _seconds(lambda: m @ m) / together
    finally:
        torch.set_num_threads(every)


def _seconds(work: Callable[[], object]) -> float:
    """The least time of one piece of work, among those that fit into a twentieth of a second."""
    work()
    best, begun = float("inf"), time.perf_counter()
    while (now := time.perf_counter()) - begun < SECONDS:
        work()
        best = min(best, time.perf_counter() - now)
    return best
