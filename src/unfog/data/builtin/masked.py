"""Built-in data sets with a mask as a condition: ``mni-tissue``, ``head-ct-bone`` and
``fashion-silhouette``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.data.builtin.head_ct import HeadCT
from unfog.data.builtin.labelled_pictures import fashion_mnist
from unfog.data.builtin.mni import MniT1
from unfog.data.dataset import ArrayDataset, datasets

TISSUES = ("rest", "grey matter", "white matter")
BONE = (300.0 + 1000.0) / 2500.0  # 300 HU in head-ct's units
FIGURE = 32  # of 255 grey levels: what is above it is no background


class Masked(ArrayDataset):
    """Images with a label map of the same grid; ``classes`` names the labels 0, 1, ...

    Args:
        name: The data set's name.
        images: The images, with whatever conditions they have.
        mask: The condition's name.
        labels: Its values (samples, 1, *space), whole numbers.
        classes: The names of the labels.
        options: What the data set was opened with, for its fingerprint.
    """

    def __init__(
        self,
        name: str,
        images: ArrayDataset,
        mask: str,
        labels: NDArray[np.uint8],
        classes: tuple[str, ...],
        options: dict[str, Any],
    ) -> None:
        self.classes = classes
        values = images.arrays
        super().__init__(
            name,
            values.pop("x"),
            images.codec,
            {**images.conditions, mask: {"name": "mask", "classes": len(classes)}},
            {**values, mask: labels},
            options,
        )


@datasets.register("mni-tissue")
def mni_tissue(
    split: str = "train", resolution: float = 2.0, oblique: int | None = None, tilt: float = 15.0
) -> Masked:
    """Slices of ``mni-t1`` with the mask ``tissue``: grey matter 1, white matter 2, the rest 0,
    whichever is most likely by the template's own maps.

    Args:
        split: ``train``, ``validation``, ``test`` or ``all``.
        resolution: The size of a pixel, in mm.
        oblique: The number of oblique planes to add; by default 900 in training and none else.
        tilt: Their largest angle, in degrees.

    Returns:
        The data set.
    """
    planes = (900 if split == "train" else 0) if oblique is None else oblique
    options: dict[str, Any] = {"split": split, "resolution": resolution}
    options |= {"oblique": planes, "tilt": tilt}
    slices = MniT1(**options)
    maps = MniT1(**options, tissue=True).arrays["tissue"]
    rest = np.clip(1 - maps.sum(1, keepdims=True), 0, None)
    labels = np.concatenate([rest, maps], 1).argmax(1, keepdims=True)
    return Masked("mni-tissue", slices, "tissue", labels.astype(np.uint8), TISSUES, options)


@datasets.register("head-ct-bone")
def head_ct_bone(split: str = "train", oblique: int | None = None, tilt: float = 8.0) -> Masked:
    """Slices of ``head-ct`` with the mask ``bone``: 1 above 300 HU, else 0; options as there, but
    400 oblique planes by default in training.
    """
    planes = (400 if split == "train" else 0) if oblique is None else oblique
    slices = HeadCT(split, planes, tilt)
    labels = (slices.arrays["x"] > BONE).astype(np.uint8)
    options = {"split": split, "oblique": planes, "tilt": tilt}
    return Masked("head-ct-bone", slices, "bone", labels, ("rest", "bone"), options)


@datasets.register("fashion-silhouette")
def fashion_silhouette(split: str = "train") -> Masked:
    """``fashion-mnist`` with the mask ``silhouette``, 1 where a picture is brighter than 32 of 255,
    beside its class.
    """
    pictures = fashion_mnist(split)
    labels = (pictures.arrays["x"] > FIGURE).astype(np.uint8)
    return Masked(
        "fashion-silhouette",
        pictures,
        "silhouette",
        labels,
        ("background", "figure"),
        {"split": split},
    )
