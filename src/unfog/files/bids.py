"""Diffusion scans of a BIDS data set (Gorgolewski et al. 2016; the Brain Imaging Data Structure).

    dataset_description.json
    sub-01/[ses-1/]dwi/sub-01_[ses-1_]dwi.nii.gz    with .bval, .bvec and .json

By the inheritance principle a table or sidecar serves every scan in or below its folder whose name
ends alike and holds all its entities: a table nearer to the scan takes the place of one above, a
sidecar adds its fields to those above.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.listing import visible

DESCRIPTION = "dataset_description.json"
IMAGES = (".nii.gz", ".nii")


@dataclass(frozen=True)
class PhaseImage:
    """The phase of a scan of magnitudes, an image of its own (part-phase).

    Args:
        path: The image.
        sidecar: The fields of its JSON sidecars.
    """

    path: Path
    sidecar: Mapping[str, Any]


@dataclass(frozen=True)
class Scan:
    """A diffusion scan of a data set.

    Args:
        path: Its image.
        place: The image's folder, relative to the data set's root.
        bval: The file of its b-values.
        bvec: The file of its directions.
        sidecar: The fields of its JSON sidecars.
        phase: Its phase, where the data set has it.
    """

    path: Path
    place: Path
    bval: Path
    bvec: Path
    sidecar: Mapping[str, Any]
    phase: PhaseImage | None = None

    @property
    def entities(self) -> dict[str, str]:
        """The entities of its name: sub-01_dir-AP_dwi.nii.gz as {"sub": "01", "dir": "AP"}."""
        return _entities(self.path)

    @property
    def stem(self) -> str:
        """The name's entities, sub-01_ses-1: what names of derivatives begin with."""
        return _stem(self.path).rpartition("_")[0]


@dataclass(frozen=True)
class DataSet:
    """A data set's description and its diffusion scans of magnitudes.

    Args:
        root: Its folder.
        description: The fields of ``dataset_description.json``.
        scans: The scans, in the order of their paths.
    """

    root: Path
    description: Mapping[str, Any]
    scans: tuple[Scan, ...]


def read_bids(root: Path, subjects: Sequence[str] = (), sessions: Sequence[str] = ()) -> DataSet:
    """The diffusion scans of a BIDS data set.

    Args:
        root: The data set's folder.
        subjects: Labels of the subjects to read, with or without sub-; all where there are none.
        sessions: Labels of the sessions to read, with or without ses-; all where there are none.

    Returns:
        The data set; scans lack neither image nor tables.

    Raises:
        InputError: It is no BIDS data set, or lacks a subject, a session or a table.
    """
    if not (root / DESCRIPTION).is_file():
        raise InputError(
            f"{root} is a folder without {DESCRIPTION}; give a scan, or the folder of a BIDS "
            "data set."
        )
    description = _fields(root / DESCRIPTION)
    paths = _with_labels(list(_images(root)), "sub", subjects)
    paths = _with_labels(paths, "ses", sessions)
    if not paths:
        raise InputError(
            f"{root} holds no diffusion scan; BIDS names them sub-*/[ses-*/]dwi/sub-*_dwi.nii.gz."
        )
    return DataSet(root, description, tuple(_scan(root, path) for path in paths))


def _images(root: Path) -> Iterator[Path]:
    """The diffusion images of magnitudes, without phases and parts of complex numbers."""
    for pattern in ("sub-*/dwi/*_dwi.nii*", "sub-*/ses-*/dwi/*_dwi.nii*"):
        for path in visible(root, root.glob(pattern)):
            if path.name.endswith(IMAGES) and _entities(path).get("part", "mag") == "mag":
                yield path


def _with_labels(paths: list[Path], key: str, labels: Sequence[str]) -> list[Path]:
    """The paths whose entity ``key`` is one of ``labels``, or all without labels; ``InputError``
    for a label that none has.
    """
    labels = [label.removeprefix(f"{key}-") for label in labels]
    present = sorted({_entities(path)[key] for path in paths if key in _entities(path)})
    if unknown := [label for label in labels if label not in present]:
        listed = ", ".join(f"{key}-{label}" for label in present) or "none"
        raise InputError(
            f"The data set has no diffusion scan of {key}-{unknown[0]}; it has {listed}."
        )
    return [path for path in paths if not labels or _entities(path).get(key) in labels]


def _scan(root: Path, path: Path) -> Scan:
    """The scan of an image: its nearest tables, and the merged fields of its sidecars."""
    tables = {}
    for kind in (".bval", ".bvec"):
        files = list(_inherited(root, path, kind))
        if not files:
            raise InputError(
                f"{path.name} has no {kind} file by BIDS' inheritance principle; put "
                f"{_stem(path)}{kind} beside it."
            )
        tables[kind] = files[-1]
    place, phase = path.parent.relative_to(root), _phase_beside(path)
    return Scan(
        path,
        place,
        tables[".bval"],
        tables[".bvec"],
        _sidecar(root, path),
        None if phase is None else PhaseImage(phase, _sidecar(root, phase)),
    )


def _sidecar(root: Path, path: Path) -> dict[str, Any]:
    """The fields of all sidecars that serve an image, the nearest last."""
    fields: dict[str, Any] = {}
    for sidecar in _inherited(root, path, ".json"):
        fields |= _fields(sidecar)
    return fields


def _phase_beside(path: Path) -> Path | None:
    """The image of phase whose name differs from that of the magnitudes in its part alone."""
    others = {key: value for key, value in _entities(path).items() if key != "part"}
    for file in visible(path.parent, path.parent.glob("*_part-phase_*dwi.nii*")):
        if file.name.endswith(IMAGES) and _entities(file) == others | {"part": "phase"}:
            return file
    return None


def _inherited(root: Path, path: Path, kind: str) -> Iterator[Path]:
    """The files ending in ``kind`` that serve an image, from the data set's root down: one at most
    in a folder.
    """
    entities = _entities(path).items()
    depth = len(path.parent.relative_to(root).parts)
    for folder in [*reversed(path.parent.parents[:depth]), path.parent]:
        candidates = [
            file
            for file in visible(folder, folder.glob(f"*{kind}"))
            if _stem(file).rpartition("_")[2] == "dwi"
        ]
        serving = [file for file in candidates if _entities(file).items() <= entities]
        if len(serving) > 1:
            names = " and ".join(file.name for file in serving)
            raise InputError(
                f"{names} both serve {path.name} in one folder, which BIDS forbids; remove one."
            )
        yield from serving


def _stem(path: Path) -> str:
    """A file's name up to its first dot."""
    return path.name.partition(".")[0]


def _entities(path: Path) -> dict[str, str]:
    """The entities of a name: sub-01_run-2_dwi.nii.gz as {"sub": "01", "run": "2"}."""
    parts = (part.partition("-") for part in _stem(path).split("_"))
    return {key: value for key, dash, value in parts if dash}


def _fields(path: Path) -> dict[str, Any]:
    """The fields of a JSON file; ``InputError`` where it is no JSON object."""
    try:
        fields = json_text.read(path)
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}; mend it, for BIDS needs it.") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path.name} is not a JSON object of fields; mend it, for BIDS needs it.")
    return fields
