"""What results depend on besides an item: the version of unfog and the weights, by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from unfog.version import __version__

# Of a run, a cascade of runs, and a pipeline of diffusers.
CONFIGS = ("config.yaml", "cascade.yaml", "model_index.json")
NOT_USED = "optimizer.safetensors"  # of a checkpoint, which training alone reads


def identity(models: Mapping[str, Path]) -> dict[str, Any]:
    """The version that runs here, and the SHA-256 of each model's config and weights as they are
    here.
    """
    return {"unfog": __version__, "weights": {name: _sha256(at) for name, at in models.items()}}


def model_folder(text: str) -> Path | None:
    """The folder of the run or the pipeline that a word of a command names, by its path or as a
    shipped prior; None where it names none.
    """
    shipped = Path(str(files("unfog"))) / "priors" / text
    for folder in (Path(text), shipped):
        if text and any((folder / name).is_file() for name in CONFIGS):
            return folder
    return None


def _sha256(folder: Path) -> str:
    """Of the names and the bytes of a model's config and weights, in order."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        weights = path.suffix == ".safetensors" and path.name != NOT_USED
        if path.is_file() and (weights or path.name in CONFIGS):
            digest.update(f"{path.relative_to(folder)}\0".encode())
            with open(path, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
