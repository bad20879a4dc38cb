"""Checkpoints that survive a crash: from the first save on, the run folder holds at every instant
one that verifies.

A save writes a temporary directory, fsyncs each file, adds a manifest with the SHA-256 of each,
fsyncs the directory, renames it, and fsyncs its parent; then it removes all checkpoints but the two
newest that verify. The manifest is compact JSON, so that any flipped bit in it shows. On disk:

    checkpoints/step-00000500/weights.safetensors      the network's weights
                              ema.safetensors          their average
                              optimizer.safetensors    all that only training needs
                              state.json
                              manifest.json

A reader of a run never needs to open ``optimizer.safetensors``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.output import sync_folder, write_durably
from unfog.files.weight_files import read_header, with_metadata

log = logging.getLogger(__name__)
TENSORS = ("weights", "ema", "optimizer")
FILES = (*(f"{name}.safetensors" for name in TENSORS), "state.json")
KEEP = 2  # checkpoints of a run
NAME = re.compile(r"step-\d{8,}")  # of a checkpoint's folder


@dataclass(frozen=True)
class Checkpoint:
    """The state of training after a step, from which it continues bit for bit.

    Args:
        weights: The network's weights by name.
        ema: Their average by name.
        optimizer: What ``Learner.training_state`` gives.
        state: Plain data for JSON; holds at least ``step``.
        metadata: What the weights are, for whoever finds the file alone.
    """

    weights: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]
    metadata: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn an ``OSError`` while ``what`` is written into an ``InputError``."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{what} could not be written ({error.strerror or error}); mend the disk and resume."
        ) from error


def to_json(value: object) -> bytes:
    """Compact JSON with sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def to_safetensors(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> bytes:
    """The content of a safetensors file of tensors by name, with metadata where there are any."""
    # Cloned, because safetensors refuses tensors that share memory (tied weights).
    content = safetensors.torch.save(
        {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    )
    return with_metadata(content, metadata or {})


def _serialised(checkpoint: Checkpoint) -> dict[str, bytes]:
    """The files of a checkpoint by name."""
    files = {}
    for name in TENSORS:
        content = to_safetensors(getattr(checkpoint, name), checkpoint.metadata)
        files[f"{name}.safetensors"] = content
    return {**files, "state.json": to_json(checkpoint.state)}


def save(run: Path, checkpoint: Checkpoint) -> Path:
    """Save a checkpoint into the folder ``run`` and return its own; ``InputError`` when the disk
    refuses, and then the previous checkpoint is still there.
    """
    name = f"step-{checkpoint.state['step']:08d}"
    with writing(f"The checkpoint {name}"):
        return _save(run, name, checkpoint)


def _save(run: Path, name: str, checkpoint: Checkpoint) -> Path:
    """Publish the checkpoint, then remove old ones."""
    target = publish(run, run / "checkpoints" / name, _serialised(checkpoint))
    _prune(run, target)
    return target


def publish(run: Path, target: Path, files: Mapping[str, bytes]) -> Path:
    """Write a folder of files with their manifest, all at once or not at all.

    Args:
        run: The run folder.
        target: The folder to write, two levels below ``run``.
        files: Content by name.

    Returns:
        ``target``.

    Raises:
        InputError: The folder does not read back as it was written.
    """
    _sweep(run)
    parent, temporary = target.parent, run / f".tmp-{target.name}"
    if target.exists():
        if fault(target, tuple(files)) is None:
            return target
        _discard(run, target)  # it never verified, or training would have gone on from it
    parent.mkdir(parents=True, exist_ok=True)
    temporary.mkdir(parents=True)
    # The temporary folder, whole and on disk.
    for file, data in files.items():
        write_durably(temporary / file, data)
    manifest = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
    write_durably(temporary / "manifest.json", to_json(manifest))
    sync_folder(temporary)
    # Its rename is atomic.
    os.rename(temporary, target)
    sync_folder(parent)
    sync_folder(run)
    problem = fault(target, tuple(files))
    if problem is not None:
        raise InputError(
            f"The {parent.name.removesuffix('s')} {target.name} did not read back as it was "
            f"written: {problem}; check the disk."
        )
    return target


def fault(folder: Path, names: Sequence[str] = FILES) -> str | None:
    """The first fault of a checkpoint, or of another folder of the files ``names``, in words for a
    message; None if every byte is as it was written.
    """
    try:
        # The manifest lists exactly these files, and each has the SHA-256 that it lists.
        manifest = json_text.parse((folder / "manifest.json").read_bytes(), "manifest.json")
        if not isinstance(manifest, dict) or manifest.keys() != set(names):
            return "manifest.json does not list the files that belong here"
        for name in names:
            with open(folder / name, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != manifest[name]:
                    return f"{name} is not as it was written"
    except OSError as error:
        return f"{Path(error.filename or folder).name} cannot be read ({error.strerror})"
    except ValueError:
        return "manifest.json is damaged"
    return None


def checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders, newest first; whatever else lies beside them is none of ours."""
    found = (run / "checkpoints").glob("step-*")
    own = [path for path in found if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(own, key=lambda path: int(path.name.removeprefix("step-")), reverse=True)


def newest_verified(run: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint of a run that verifies.

    Args:
        run: The run folder.

    Returns:
        Its folder, None if the run has no checkpoint at all; and one sentence for each newer one
        that does not verify.

    Raises:
        InputError: There are checkpoints and none verifies.
    """
    skipped: list[str] = []
    for folder in checkpoints(run):
        problem = fault(folder)
        if problem is None:
            return folder, skipped
        skipped.append(f"The checkpoint {folder.name} was rejected: {problem}.")
    if skipped:
        raise InputError(
            f"No checkpoint of this run verifies ({skipped[0]}); restore it from a copy or train "
            "anew."
        )
    return None, skipped


def load(folder: Path) -> Checkpoint:
    """Read the checkpoint in a folder that ``fault`` has verified."""
    for name in TENSORS:  # a hash says nothing of a header
        read_header(folder / f"{name}.safetensors")
    tensors = {
        name: safetensors.torch.load_file(folder / f"{name}.safetensors") for name in TENSORS
    }
    weights, ema, optimizer = (tensors[name] for name in TENSORS)
    return Checkpoint(weights, ema, optimizer, state=json_text.read(folder / "state.json"))


def newest_metadata(run: Path) -> dict[str, str]:
    """The metadata of the averaged weights in a run's newest checkpoint that verifies; none where
    there is no checkpoint.
    """
    folder, _ = newest_verified(run)
    return {} if folder is None else dict(read_header(folder / "ema.safetensors").metadata)


def load_newest(run: Path) -> Checkpoint | None:
    """Read the newest checkpoint that verifies, None if there is none; newer ones that do not
    verify are logged as warnings.
    """
    folder, skipped = newest_verified(run)
    for sentence in skipped:
        log.warning("%s", sentence)
    return None if folder is None else load(folder)


def load_ema(run: Path) -> dict[str, Tensor]:
    """The averaged weights of a run by name, from its newest checkpoint that verifies."""
    checkpoint = load_newest(run)
    if checkpoint is None:
        raise InputError(
            "This run has no checkpoint yet; train it, or give the folder of a trained run."
        )
    return checkpoint.ema


def _discard(run: Path, folder: Path) -> None:
    """Remove a folder; renamed first, so that a half-removed one is not taken for a checkpoint."""
    discarded = run / f".old-{folder.name}"
    os.rename(folder, discarded)
    _remove(discarded)


def _remove(path: Path) -> None:
    """Remove a folder with what it holds, or a file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _sweep(run: Path) -> None:
    """Remove what a crash during a save left behind."""
    for pattern in (".tmp-step-*", ".old-step-*"):
        for leftover in run.glob(pattern):
            _remove(leftover)


def _prune(run: Path, newest: Path) -> None:
    """Remove all checkpoints but the ``KEEP`` newest that verify."""
    kept = [newest]  # verified just now
    for folder in checkpoints(run):
        if len(kept) < KEEP and folder != newest and fault(folder) is None:
            kept.append(folder)
        elif folder not in kept:
            _discard(run, folder)
