r"""Training data of the refiner: simulated scans after low rank, and their truth.

    x_low = encode(low rank(|S + noise|)),     s = e sqrt(N / 15) (``unfog.dmri.denoising.blind``),
    E[x | x_low, s] is learned from pairs.

What low rank leaves of the noise is not white, as the prior for raw signals takes it to be: in b =
0 and the mean signal it is one to five times s, in order 2 about s and in order 4 half of it or
less, and neighbours share it. So a denoiser of its own is trained on it, with scans whose tables,
noise and tissue differ as widely as ``unfog.dmri.simulation.simulate`` can make them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.data.dataset import Dataset, Ids, datasets
from unfog.dmri import harmonics
from unfog.dmri.denoising.blind import as_noisy_shells
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.half_turns import turned
from unfog.dmri.gradients import GradientTable
from unfog.dmri.shells import ORDER
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.dmri.simulation.simulate import B_RANGE, CHANNELS, simulate
from unfog.dmri.simulation.tissue import Space
from unfog.errors import InputError

# directions of a shell, and of each of several; signal to noise of white matter at b = 0
DIRECTIONS, OF_MANY, SNR = ((8.0, 96.0), (15.0, 48.0), (6.0, 60.0))
# shares of scans with 2 or 3 shells, of noise that varies, of noise that neighbours share
SEVERAL, VARYING, CORRELATED = (0.25, 0.25, 0.25)
AIR, FILLED = 0.1, 0.3  # the signal below which is air; the least share of a scan that is not
VERSION = 1  # counts changes of what is drawn


@dataclass(frozen=True)
class Pairs:
    """The shells of a simulated scan: ``noisy`` after low rank and true ``x`` (shells, 16, X, Y,
    Z), noise ``level`` (shells, X, Y, Z), condition ``shell`` (shells, 2), and ``inside`` (X, Y,
    Z), True where there is no air.
    """

    noisy: Tensor
    x: Tensor
    level: Tensor
    shell: Tensor
    inside: Tensor


def make_pairs(side: int, source: torch.Generator) -> Pairs:
    """One simulated scan of ``side`` voxels each way, after low rank and in truth: a pure function
    of the generator's state. A scan that is mostly air is drawn again.
    """
    space = Space(side, source)
    table = _table(space)
    bvals = list(table.shells())
    # The same tissue at every shell's b.
    tissue = int(torch.randint(2**31, (), generator=source))
    patches = [simulate(side, generator(tissue, "tissue"), b / 1000) for b in bvals]
    inside = patches[0].b0 > AIR
    if float(inside.float().mean()) < FILLED:
        return make_pairs(side, source)
    # The noise-free signal of every volume.
    truth = patches[0].b0[..., None].repeat(1, 1, 1, len(table))
    for patch, volumes in zip(patches, table.shells().values(), strict=True):
        at = harmonics.design(torch.from_numpy(table.directions[volumes]), ORDER)
        truth[..., volumes] = (patch.coefficients.movedim(0, -1) @ at.T.float()).clamp(min=0)
    # Noise, low rank, and the shells on the prior's scale.
    first = denoise(_noisy(truth, inside, space), table, inside.numpy())
    scans, scale = as_noisy_shells(first, table, inside.numpy(), least=int(DIRECTIONS[0]))
    x = [
        torch.cat([scan.shell.gain * patch.b0[None], patch.coefficients])
        for scan, patch in zip(scans, patches, strict=True)
    ]
    return Pairs(
        torch.stack([scan.x for scan in scans]).half(),
        (torch.stack(x) / scale).half(),
        torch.stack([scan.level for scan in scans]).half(),
        torch.cat([scan.shell.condition for scan in scans]),
        inside,
    )


def _table(space: Space) -> GradientTable:
    """One to three shells of well spread directions, turned at random, and 1 to 8 images at b =
    0.
    """
    count = 2 + int(space.uniform(0, 2)) if space.happens(SEVERAL) else 1
    bvals, directions = [0.0] * (1 + int(space.uniform(0, 8))), []
    for b in np.linspace(0, 1, count + 1)[:-1]:  # apart, so that they stay shells
        n = round(float(space.log_uniform(*(OF_MANY if count > 1 else DIRECTIONS))))
        low, high = np.log(B_RANGE)
        bvals += [
            1000 * float(np.exp(low + (b + space.number(0.1, 0.9) / count) * (high - low)))
        ] * n
        # Half a sphere of Fibonacci's directions, under a random orthogonal matrix.
        turn = torch.linalg.qr(space.normal(3, 3).double()).Q
        directions.append(harmonics.fibonacci(2 * n)[:n] @ turn)
    zeros = torch.zeros(len(bvals) - sum(map(len, directions)), 3, dtype=torch.float64)
    return GradientTable(np.array(bvals), torch.cat([zeros, *directions]).numpy())


def _noisy(
    truth: Tensor, inside: Tensor, space: Space
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Magnitudes (X, Y, Z, volumes) of the ``truth`` under Rician noise: white, up to three times
    stronger on one side than on the other, or shared by neighbours.
    """
    sigma = truth[..., 0][inside].median() / space.log_uniform(*SNR) * torch.ones(truth.shape[:3])
    if space.happens(VARYING):
        sigma = sigma * torch.linspace(0.5, 1.5, len(sigma))[:, None, None]
    shared = (0.26, 0.1, 0.0) if space.happens(CORRELATED) else (0.0, 0.0, 0.0)
    return np.asarray(
        add_magnitude_noise(truth.movedim(3, 0), sigma, space.generator, 1, shared)
        .movedim(0, 3)
        .numpy()
    )


@datasets.register("dmri-low-rank")
class AfterLowRank(Dataset):
    """Crops of simulated scans after low rank, turned by random symmetries of the cube.

    A scan is made when it is first asked for, in about half a second, and kept in memory, about a
    megabyte.

    Args:
        side: Voxels of a crop along each axis.
        around: Voxels of a scan along each axis.
        scans: Different scans.
        count: Crops, the length of the dataset.
        seed: Of scans and crops.

    Raises:
        InputError: The sizes do not fit.
    """

    def __init__(
        self,
        side: int = 16,
        around: int = 24,
        scans: int = 768,
        count: int = 1_000_000,
        seed: int = 0,
    ) -> None:
        if not 8 <= side <= around or scans < 1 or count < 1:
            raise InputError(
                f"Crops of {side} voxels need scans as large, at least 8, and at least one; got "
                f"{around} and {scans}."
            )
        self.name, self.shape = "dmri-low-rank", (CHANNELS, side, side, side)
        self.side, self.around, self.scans, self.count, self.seed = side, around, scans, count, seed
        self.codec = {"name": "identity"}
        self.conditions = {"shell": {"name": "vector", "size": 2}}
        identity = f"{self.name} {VERSION} {side} {around} {scans} {count} {seed}"
        self.fingerprint = hashlib.sha256(identity.encode()).hexdigest()
        self.symmetries = harmonics.octahedral()
        self._scan = cache(lambda k: make_pairs(around, generator(seed, self.name, k)))

    def __len__(self) -> int:
        return self.count

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        """``x`` and ``noisy`` (batch, 16, side, side, side), ``shell`` (batch, 2), ``level``
        (batch,), ``inside`` (batch, 1, side, ...).
        """
        crops = [self._crop(int(i)) for i in self.index(ids)]
        return {name: torch.cat([crop[name] for crop in crops]) for name in crops[0]}

    def _crop(self, i: int) -> dict[str, Tensor]:
        pairs, source = self._scan(i % self.scans), generator(self.seed, "crop", i)
        # A random crop, symmetry and shell.
        corner = torch.randint(self.around - self.side + 1, (3,), generator=source).tolist()
        x, y, z = (slice(start, start + self.side) for start in corner)
        turn = self.symmetries[int(torch.randint(len(self.symmetries), (), generator=source))]
        k = int(torch.randint(len(pairs.x), (), generator=source))
        noisy, clean = (
            turned(values[k, :, x, y, z].float()[None], turn) for values in (pairs.noisy, pairs.x)
        )
        return {
            "x": clean,
            "noisy": noisy,
            "shell": pairs.shell[k : k + 1].float(),
            "level": pairs.level[k, x, y, z].double().square().mean().sqrt()[None],
            "inside": harmonics.turn_volume(pairs.inside[None, None, x, y, z].float(), turn),
        }
