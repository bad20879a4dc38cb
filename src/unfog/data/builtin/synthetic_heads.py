"""``synthetic-heads``: simulated magnetic resonance images of heads of any contrast, from random
numbers alone, and of bodies that are no heads (``data.synthesis``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from unfog.core.random import generator, seed_of
from unfog.data.dataset import Dataset, Ids, choose, datasets, fingerprint
from unfog.data.synthesis.anatomy import body, head
from unfog.data.synthesis.scanner import receive
from unfog.errors import InputError

SPLITS = ("train", "validation", "test")
FINEST, COARSEST = 0.7, 2.0  # mm, before slices are made thick
BODIES = 0.12  # of the volumes
TRIES = 4  # of a place with tissue
Stored = tuple[NDArray[np.uint8], tuple[float, ...]]


@datasets.register("synthetic-heads")
class SyntheticHeads(Dataset):
    """Cubes (1, patch, patch, patch), or slices (1, patch, patch), of simulated volumes in [0, 1].

    Sample i is cut out of volume i, a function of (seed, split, i); training (``draw``) cuts
    anywhere in it, mostly where there is tissue, along any order and direction of the axes, through
    a random gamma curve. The condition ``voxel`` is the logarithm of the voxels' sides in mm, (3,).

    Args:
        split: ``train``, ``validation`` or ``test``.
        patch: The side of a sample, in voxels.
        dims: 3 for cubes, 2 for slices along any axis.
        count: Volumes.
        size: Voxels a side of a volume, before slices are made thick (to a third at most).
        kept: Volumes kept in memory, a byte a voxel; those used longest ago are made anew.
        seed: Of all volumes.
    """

    def __init__(
        self,
        split: str = "train",
        patch: int = 32,
        dims: int = 3,
        count: int = 240,
        size: int = 96,
        kept: int = 240,
        seed: int = 0,
    ) -> None:
        choose("The split of synthetic-heads", split, SPLITS)
        choose("The dims of synthetic-heads", dims, (2, 3))
        if not 8 <= patch <= size // 3 or count < 1 or kept < 1:
            raise InputError(
                f"A patch of synthetic-heads has 8 voxels or more and at most a third of "
                f"data.size={size}, and data.count and data.kept are 1 or more; got "
                f"data.patch={patch}, data.count={count}, data.kept={kept}."
            )
        self.name, self.codec = "synthetic-heads", {"name": "range", "low": 0, "high": 1}
        self.conditions = {"voxel": {"name": "numbers", "size": 3}}
        self.shape, self.patch = (1, *(patch,) * dims), patch
        self.split, self.count, self.size, self.kept, self.seed = split, count, size, kept, seed
        self._volumes: OrderedDict[int, Stored] = OrderedDict()
        options = {"split": split, "patch": patch, "dims": dims, "count": count, "size": size}
        self.fingerprint = fingerprint({}, {"name": self.name, "seed": seed, **options})

    def __len__(self) -> int:
        return self.count

    def volume(self, number: int) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
        """A whole volume (X, Y, Z) in bytes, 255 for 1, and the sides of its voxels in mm."""
        if number not in self._volumes:
            random = np.random.Generator(
                np.random.Philox(seed_of(self.seed, f"heads-{self.split}", number))
            )
            voxel = float(np.exp(random.uniform(np.log(FINEST), np.log(COARSEST))))
            shape = body if random.uniform() < BODIES else head
            image, sides = receive(random, shape(random, self.size, voxel), voxel)
            self._volumes[number] = (np.round(image * 255).astype(np.uint8), sides)
            while len(self._volumes) > self.kept:
                self._volumes.popitem(last=False)
        self._volumes.move_to_end(number)
        return self._volumes[number]

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        return self.draw(ids, [generator(self.seed, "place", int(i)) for i in self.index(ids)])

    def draw(self, ids: Ids, generators: Sequence[Generator]) -> dict[str, Tensor]:
        pairs = zip(self.index(ids), generators, strict=True)
        cut = [self._cut(int(number), randomness) for number, randomness in pairs]
        return {"x": torch.stack([x for x, _ in cut]), "voxel": torch.stack([v for _, v in cut])}

    def _cut(self, number: int, randomness: Generator) -> tuple[Tensor, Tensor]:
        """A sample (1, *space) of a volume, and the logarithm of its voxels' sides (3,)."""
        volume, sides = self.volume(number)
        drawn = torch.rand(8, generator=randomness).numpy()
        # The axes in any order and direction.
        order = np.argsort(drawn[:3])
        turned = volume.transpose(order)
        turned = turned[tuple(slice(None, None, -1 if u < 0.5 else 1) for u in drawn[3:6])]
        lengths = [self.patch] * 3 if len(self.shape) == 4 else [1, self.patch, self.patch]
        # A place with tissue, where one is found soon.
        for _ in range(TRIES):
            spare = np.array(turned.shape) - lengths + 1
            corner = (torch.rand(3, generator=randomness).numpy() * spare).astype(int)
            cube = turned[tuple(slice(c, c + n) for c, n in zip(corner, lengths, strict=True))]
            if (cube > 25).mean() > 0.3:
                break
        gamma = float(np.exp(0.5 * (drawn[6] - 0.5)))
        x = torch.from_numpy(np.ascontiguousarray(cube)).float().div(255).pow(gamma)
        voxel = torch.tensor(np.log([sides[k] for k in order]), dtype=torch.float32)
        return x.reshape(self.shape), voxel
