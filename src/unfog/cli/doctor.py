"""``unfog doctor``: what this machine offers."""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from unfog.cli.options import AsJson, emit

_OWN_EXTRAS = {"dev"}  # for working on unfog, not for using it


def doctor(as_json: AsJson = False) -> None:
    """Say what this machine offers.

    Versions, threads, devices, the speed of bfloat16, the cache, installed extras and free disk.
    """
    emit(
        {
            "versions": {
                name: _version(name)
                for name in ("unfog", "torch", "numpy", "safetensors", "nibabel")
            },
            "machine": _machine(),
            "bfloat16": _bfloat16(),
            "cache": _cache(),
            "extras": _extras(),
        },
        as_json,
    )


def _version(name: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    """Python, cores, threads and devices."""
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": devices or ["cpu"],
    }


def _bfloat16() -> dict[str, Any]:
    """How many times faster a convolution, the main work of training, is in bfloat16 than in
    float32 on the CPU.
    """
    import torch

    x, w = torch.randn(4, 64, 48, 48), torch.randn(64, 64, 3, 3)
    half = x.bfloat16(), w.bfloat16()
    full = _seconds(lambda: torch.conv2d(x, w, padding=1))
    speed = full / _seconds(lambda: torch.conv2d(*half, padding=1))
    return {
        "speed-up": round(speed, 2),
        "advice": "training.precision=bf16" if speed > 1.1 else "training.precision=fp32",
    }


def _seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The least of ``repeats`` times, after one run to warm up."""

    def once() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    once()
    return min(once() for _ in range(repeats))


def _cache() -> dict[str, Any]:
    """The folder of fetched data sets, its content, and the free space of its disk."""
    from unfog.data.builtin.packages import PACKAGES, cache_folder, is_fetched

    folder = cache_folder()
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(nearest).free / 1e9
    return {
        "folder": str(folder),
        "fetched": [name for name in PACKAGES if is_fetched(name)],
        "free GB": round(free, 1),
    }


def _extras() -> dict[str, str]:
    """For each extra of the package, "installed" or the packages it lacks."""
    packages: dict[str, list[str]] = {}
    for requirement in metadata.requires("unfog") or []:
        if match := re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", requirement):
            packages.setdefault(match[2], []).append(match[1])
    missing = {
        extra: [name for name in names if _version(name) is None]
        for extra, names in packages.items()
        if extra not in _OWN_EXTRAS
    }
    return {
        extra: f"missing: {', '.join(names)}" if names else "installed"
        for extra, names in missing.items()
    }
