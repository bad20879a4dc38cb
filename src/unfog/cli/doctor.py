"""``unfog doctor``: what this machine offers."""

from __future__ import annotations

import os
import platform
import re
import shutil
from importlib import metadata
from typing import Any

from unfog.cli.options import AsJson, emit

_OWN_EXTRAS = {"dev"}  # for working on unfog, not for using it


def doctor(as_json: AsJson = False) -> None:
    """Say what this machine offers.

    Versions, devices, the precision and threads that auto takes, the cache, installed extras and
    free disk.
    """
    emit(
        {
            "versions": {
                name: _version(name)
                for name in ("unfog", "torch", "numpy", "safetensors", "nibabel")
            },
            "machine": _machine(),
            "fastest": _fastest(),
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


def _fastest() -> dict[str, Any]:
    """What auto takes here: the precision, and the threads, with the speeds that they were chosen
    by.
    """
    from unfog.openmp import POLICY
    from unfog.runs.machine import best_precision, chosen_threads, measured, processor

    speeds = measured()
    return {
        "processor": processor()["name"],
        "precision": best_precision(),
        "bfloat16 over float32": round(speeds["bfloat16"], 2),
        "threads": chosen_threads(),
        "all threads over one": round(speeds["threads"], 2),
        "waiting threads": os.environ.get(POLICY, "torch's default").lower(),
    }


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
