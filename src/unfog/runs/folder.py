"""The folder of a run: where it is, its config and its weights.

That of a training run holds ``config.yaml`` and ``checkpoints/``. That of an exported run, as the
priors in the package are, holds ``config.yaml``, the averaged weights in ``weights.safetensors``,
and ``manifest.json`` with the SHA-256 of both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
import safetensors.torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.output import write_bytes, write_json
from unfog.files.text import read_text
from unfog.runs.config import load_config, save_config
from unfog.systems.registry import Config
from unfog.training.checkpoint import load_ema, newest_metadata, to_safetensors

WEIGHTS = "weights.safetensors"
CONFIG = "config.yaml"
MANIFEST = "manifest.json"
CARD = "card.json"


def priors() -> list[str]:
    """Names of the priors in the package."""
    root = Path(str(files("unfog"))) / "priors"
    if not root.is_dir():
        return []
    return sorted(p.name for p in root.iterdir() if (p / CONFIG).is_file())


def locate(source: str | Path) -> Path:
    """The folder of a run, or of the prior in the package of that name; ``InputError`` where there
    is neither.
    """
    path = Path(source)
    if not path.exists() and str(source) in priors():
        return Path(str(files("unfog"))) / "priors" / str(source)
    if not (path / CONFIG).is_file():
        shipped = ", ".join(priors()) or "none"
        raise InputError(
            f"{source} is not a run: there is no {CONFIG} in it; give a trained run's folder or "
            f"a shipped prior ({shipped})."
        )
    return path


def export(source: str | Path, out: Path) -> Path:
    """Write a training run's averaged weights and config as an exported run into the new folder
    ``out``, which is returned.
    """
    path = locate(source)
    if out.exists():
        raise InputError(f"{out} exists; choose another folder.")
    return write_run(out, load_weights(path), load_config(path / CONFIG), newest_metadata(path))


def write_run(
    out: Path,
    weights: Mapping[str, Tensor],
    config: Config,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write an exported run: weights, config and the manifest of both.

    Args:
        out: Its folder, which may be there already.
        weights: Averaged weights by name.
        config: What they are the weights of.
        metadata: What the file of the weights says of itself.

    Returns:
        The folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / WEIGHTS, to_safetensors(weights, metadata), overwrite=True)
    save_config(config, out / CONFIG)
    manifest = {name: _sha256(out / name) for name in (WEIGHTS, CONFIG)}
    write_json(out / MANIFEST, manifest, overwrite=True)
    return out


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_weights(path: Path) -> dict[str, Tensor]:
    """The averaged weights of a run's folder by name: of its newest checkpoint, or as exported."""
    if (path / "checkpoints").is_dir():
        return load_ema(path)
    if not (path / MANIFEST).is_file() or not (path / WEIGHTS).is_file():
        raise InputError(
            f"{path} holds neither checkpoints nor {WEIGHTS} with its {MANIFEST}; train it first."
        )
    for name, expected in json.loads(read_text(path / MANIFEST)).items():
        if _sha256(path / name) != expected:
            raise InputError(
                f"{name} in {path.name} is not as it was written (its SHA-256 differs); restore it."
            )
    return safetensors.torch.load_file(path / WEIGHTS)


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of weights: their names, types, shapes and bytes, whatever file they lie in."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        array = np.ascontiguousarray(value.detach().cpu().numpy())
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode() + array.tobytes())
    return digest.hexdigest()
