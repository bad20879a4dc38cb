"""Data sets, augmentation and files: everything in natural units, everything checked on the way
in.
"""

from unfog.data import arrays, degradations, images, volumes  # noqa: F401  (each registers names)
from unfog.data.builtin import (  # noqa: F401  (each registers its data sets)
    emoji,
    grid_mixture,
    head_ct,
    labelled_pictures,
    masked,
    mni,
    mni_volume,
    photographs,
    random_field,
    synthetic_heads,
    textures,
    turbulence,
)
from unfog.data.dataset import ArrayDataset, Dataset, datasets, open_dataset

__all__ = ["ArrayDataset", "Dataset", "datasets", "open_dataset"]
