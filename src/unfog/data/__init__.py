"""Data sets, augmentation and files: everything in natural units, everything checked on the way in."""

from unfog.data import arrays, head_ct, images, mni, random_field, sets, textures, turbulence, volumes  # noqa: F401  (each registers its data sets)
from unfog.data.dataset import ArrayDataset, Dataset, datasets, open_dataset

__all__ = ["ArrayDataset", "Dataset", "datasets", "open_dataset"]
