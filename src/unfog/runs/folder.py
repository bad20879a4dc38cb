"""The folder of a run: where it is, its config and its weights.

That of a training run holds ``config.yaml`` and ``checkpoints/``. That of an exported run, as the
priors in the package are, holds ``config.yaml``, the averaged weights in ``weights.safetensors``,
and ``manifest.json`` with the SHA-256 of both, and of the card and what else lies with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from unfog.errors import InputError
from unfog.files.local_paths import with_paths, without_paths
from unfog.files.output import write_bytes, write_json
from unfog.files.sealed import read_table
from unfog.files.weight_files import read_header
from unfog.runs.config import load_config, save_config
from unfog.runs.sections import check_sections
from unfog.systems.registry import Config
from unfog.training.checkpoint import load_ema, newest_metadata, to_safetensors
from unfog.training.config_record import CONFIG as CONFIG  # one of a run's files
from unfog.training.config_record import check_config

WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"
CARD = "card.json"
REQUIRED = (WEIGHTS, CONFIG)  # files of an exported run
OPTIONAL = (CARD, "latents.json", "prompts.safetensors")
REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
RESTORE = "restore the run from a copy"
ADOPT = "restore it from a copy, or adopt what is there with unfog verify RUN --accept"


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
    return write_run(out, load_weights(path), run_config(path), newest_metadata(path))


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
    save_config(without_paths(config), out / CONFIG)
    relist(out, anew=True)
    return out


def relist(path: Path, anew: bool = False) -> None:
    """Write the manifest of an exported run again, of the files that belong in it as they are now;
    a run without a manifest is left alone, unless one is to be made ``anew``.
    """
    if anew or (path / MANIFEST).is_file():
        names = [*REQUIRED, *(name for name in OPTIONAL if (path / name).is_file())]
        manifest = {name: file_sha256(path / name) for name in names}
        write_json(path / MANIFEST, manifest, overwrite=True)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_of(path: Path) -> dict[str, Any]:
    """The manifest of an exported run: the SHA-256 of each file that belongs to it, and of no
    other; ``InputError`` where it lists others, leaves one out, or is damaged.
    """
    found = read_table(path / MANIFEST, RESTORE)
    for name in found:
        if name not in (*REQUIRED, *OPTIONAL):
            raise InputError(
                f"{MANIFEST} of {path.name} lists {name!r}, which does not belong to a run; "
                f"{RESTORE}."
            )
    # A manifest from before more files were listed names these two alone.
    listed = REQUIRED if found.keys() == set(REQUIRED) else (*REQUIRED, *OPTIONAL)
    for name in listed:
        if name not in found and (name in REQUIRED or (path / name).is_file()):
            raise InputError(f"{MANIFEST} of {path.name} does not list {name}; {RESTORE}.")
    return found


def verify_file(path: Path, name: str) -> None:
    """Hold a file of a run to what the run says of it, where it says anything: the manifest of an
    exported run, the record of a training run's config.

    Args:
        path: The run's folder.
        name: The file's.

    Raises:
        InputError: It is not as it was written, or what says so is damaged.
    """
    if (path / "checkpoints").is_dir() or not (path / MANIFEST).is_file():
        if name == CONFIG:
            check_config(path)
        return
    expected = manifest_of(path).get(name)
    if expected is None:
        return
    if not (path / name).is_file():
        raise InputError(f"{name} of {path.name} is missing; restore it.")
    if file_sha256(path / name) != expected:
        raise InputError(
            f"{name} in {path.name} is not as it was written (its SHA-256 differs); {ADOPT}."
        )


def run_config(path: Path) -> Config:
    """The config of a run's folder, verified before it is parsed."""
    verify_file(path, CONFIG)
    config = load_config(path / CONFIG)
    check_sections(config, path / CONFIG)
    return with_paths(path, config)


def run_card(path: Path) -> dict[str, Any]:
    """The card of a run's folder, verified before it is parsed; empty where there is none."""
    verify_file(path, CARD)
    return read_table(path / CARD, RESTORE) if (path / CARD).is_file() else {}


def load_weights(path: Path) -> dict[str, Tensor]:
    """The averaged weights of a run's folder by name: of its newest checkpoint, or as exported."""
    if (path / "checkpoints").is_dir():
        return load_ema(path)
    if not (path / MANIFEST).is_file() or not (path / WEIGHTS).is_file():
        raise InputError(
            f"{path} holds neither checkpoints nor {WEIGHTS} with its {MANIFEST}; train it first."
        )
    verify_file(path, WEIGHTS)
    read_header(path / WEIGHTS)  # the places of its tensors, before anything is allocated
    return safetensors.torch.load_file(path / WEIGHTS)


def fit_weights(network: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Load weights into a network, once their names, types, shapes and values are found sound.

    Args:
        network: What takes them.
        weights: By name.
        name: The run's, for errors.

    Raises:
        InputError: A tensor is missing, too many, of another shape or type, or not finite.
    """
    wanted = network.state_dict()
    for key in sorted(wanted.keys() | weights.keys()):
        if key not in weights or key not in wanted:
            what = f"{key!r} is {'missing' if key in wanted else 'not in the network'}"
        elif weights[key].shape != wanted[key].shape:
            what = f"{key!r} has the shape {_shape(weights[key])}, not {_shape(wanted[key])}"
        elif not _same_kind(weights[key].dtype, wanted[key].dtype):
            what = f"{key!r} is {weights[key].dtype}, not {wanted[key].dtype}".replace("torch.", "")
        elif not _finite(weights[key]):
            what = f"{key!r} holds values that are not finite"
        else:
            continue
        raise InputError(
            f"The weights in {name} do not fit their {CONFIG} ({what}); restore both from one "
            "source."
        )
    network.load_state_dict(weights)


def _shape(value: Tensor) -> list[int]:
    return list(value.shape)


def _finite(value: Tensor) -> bool:
    """Whether all values are finite; a finite sum says so at a fraction of the time."""
    if not value.is_floating_point():
        return True
    total = value.sum(dtype=torch.promote_types(value.dtype, torch.float32))
    return bool(total.isfinite()) or bool(value.isfinite().all())


def _same_kind(found: torch.dtype, wanted: torch.dtype) -> bool:
    """Whether values of one type may be loaded as another: real numbers of 16 bits or more as real
    numbers, whole ones as the very same.
    """
    return found == wanted or (wanted in REAL and found in REAL)


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of weights: their names, types, shapes and bytes, whatever file they lie in."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        array = np.ascontiguousarray(value.detach().cpu().numpy())
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode() + array.tobytes())
    return digest.hexdigest()
