"""What a data set is, data sets held in memory, and how a name or a path becomes one."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.files.formats import formats
from unfog.files.listing import files_below

Ids = Sequence[int] | Tensor | NDArray[Any]
Config = dict[str, Any]


class Dataset(ABC):
    """The interface of data sets: numbered samples in natural units.

    Attributes:
        name: In configs and messages.
        shape: Of a sample, (channels, *space).
        codec: Registry config of the map to the model's scale.
        conditions: A registry config, without width, for each condition by name.
        fingerprint: SHA-256 of content and options, so that a resumed run can tell a change.
        space: Registry config of where states live (``core.space``); None is plain.
        format: Name of the file format that samples are written in (``files.formats``); None is the
            first that holds their shape.
        voxel: The sides of a voxel in mm, in the order of the axes of space; None is unknown.
        captions: What each sample shows, in words; None where the data have none.
    """

    name: str
    shape: tuple[int, ...]
    codec: Config
    conditions: dict[str, Config]
    fingerprint: str
    space: Config | None = None
    format: str | None = None
    voxel: tuple[float, ...] | None = None
    captions: tuple[str, ...] | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, ids: Ids) -> dict[str, Tensor]:
        """``"x"`` (batch, channels, *space) float32 in natural units, and each condition under its
        name.
        """

    def draw(self, ids: Ids, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """As ``batch``, for a step of training: samples that are cut out of something larger are
        cut where their generators say, one for each.
        """
        return self.batch(ids)

    def index(self, ids: Ids) -> NDArray[np.int64]:
        """Sample numbers as an array; ``InputError`` where one is of no sample."""
        index = np.asarray(ids, dtype=np.int64)
        if index.size and (index.min() < 0 or index.max() >= len(self)):
            raise InputError(
                f"The data set {self.name!r} has samples 0 to {len(self) - 1}, not "
                f"{int(index.min())} to {int(index.max())}."
            )
        return index


class ArrayDataset(Dataset):
    """A data set held in memory in the type it came in: a byte becomes a float32 in ``batch``.

    Args:
        name: The data set's name.
        x: The samples, (samples, channels, *space).
        codec: Registry config of the map to the model's scale.
        conditions: A registry config, without width, for each condition by name.
        values: The values (samples, ...) of each of the conditions, and those of their masks.
        options: What besides the content enters the fingerprint.

    Raises:
        InputError: There is no sample, or a condition lacks its values.
    """

    def __init__(
        self,
        name: str,
        x: NDArray[Any] | Tensor,
        codec: Config,
        conditions: Mapping[str, Config] | None = None,
        values: Mapping[str, NDArray[Any] | Tensor] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._arrays = {
            "x": np.asarray(x),
            **{key: np.asarray(value) for key, value in (values or {}).items()},
        }
        self.name = name
        self.codec = dict(codec)
        self.conditions = dict(conditions or {})
        self.shape = self._arrays["x"].shape[1:]
        _check(self)
        self.fingerprint = fingerprint(self._arrays, {"name": name, **(options or {})})

    def __len__(self) -> int:
        return len(self._arrays["x"])

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The samples as ``"x"`` and each condition's values, whole, in the type they came in."""
        return dict(self._arrays)

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        index = self.index(ids)
        return {key: _tensor(value[index]) for key, value in self._arrays.items()}


def _check(data: ArrayDataset) -> None:
    """``InputError`` unless there are samples, and a value of each for every condition."""
    arrays = data._arrays
    if len(data) == 0 or not data.shape:
        raise InputError(
            f"The data set {data.name!r} needs samples (N, C, *space), got {arrays['x'].shape}; "
            "give it at least one."
        )
    # A condition may come with a mask of its own.
    masks = {f"{name}_mask" for name in data.conditions}
    if set(arrays) - {"x"} - masks != set(data.conditions) or any(
        len(a) != len(data) for a in arrays.values()
    ):
        raise InputError(
            f"The data set {data.name!r} needs one value a sample for each of its conditions: "
            f"{sorted(data.conditions)}."
        )


def _tensor(value: NDArray[Any]) -> Tensor:
    """Images and vectors become float32, class numbers (one a sample) int64."""
    kind = np.int64 if value.ndim == 1 and value.dtype.kind in "iu" else np.float32
    return torch.from_numpy(np.ascontiguousarray(value.astype(kind)))


def fingerprint(arrays: Mapping[str, NDArray[Any]], options: Mapping[str, Any]) -> str:
    """SHA-256 over names, types, shapes and bytes of ``arrays``, and ``options`` as JSON."""
    digest = hashlib.sha256(json.dumps(dict(options), sort_keys=True, default=str).encode())
    for key in sorted(arrays):
        value = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {value.dtype.str} {value.shape}".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


datasets: Registry[Dataset] = Registry("data set")


def choose(field: str, value: object, among: Sequence[object]) -> None:
    """Refuse an option that is not among its choices.

    Args:
        field: The option's name.
        value: Its value.
        among: The choices.

    Raises:
        InputError: The value is none of them.
    """
    if value not in among:
        raise InputError(f"{field} must be one of {', '.join(map(str, among))}, not {value!r}.")


def open_dataset(source: str | Path | Mapping[str, Any], **options: Any) -> Dataset:
    """The data set of a config ``{"name": ..., **options}``, a registered name, or a path.

    A path is an array file (.npy, .npz), a NIfTI volume (.nii, .nii.gz), or a folder of volumes, of
    DICOM series or of images. A registered name wins over a folder of the same name in the working
    directory; write ``./name`` for the folder.
    """
    if isinstance(source, Mapping):
        return datasets.build({**source, **options})
    if str(source) in datasets.names():
        return datasets.build({"name": str(source), **options})
    path = Path(source)
    if not path.exists():
        raise InputError(
            f"There is no data set and no file or folder {str(source)!r}; data sets: "
            f"{', '.join(datasets.names())}."
        )
    return datasets.build({"name": kind_of(path), "path": str(path), **options})


def kind_of(path: Path) -> str:
    """The name of the data set that reads a path: that of the first format in it, else
    ``images``.
    """
    files = files_below(path)
    if path.suffix.lower() == ".npz":
        return "arrays"  # named arrays train, and are no images to restore
    for candidate in formats:
        if (path.is_file() or candidate.folders) and any(map(candidate.matches, files)):
            return candidate.dataset
    return "images"
