r"""Simulated diffusion MRI: the training data of the prior, noise-free, as spherical harmonics,
drawn anew without end.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.random import generator
from unfog.data.dataset import Dataset, Ids, datasets
from unfog.dmri import harmonics
from unfog.dmri.shells import ORDER, shell_vector
from unfog.dmri.simulation import tissue
from unfog.dmri.simulation.kernels import along, dispersed, zonal
from unfog.dmri.simulation.tissue import Space
from unfog.errors import InputError

CHANNELS = 1 + harmonics.count(ORDER)
# b in ms/um^2;  g from one b = 0 image for each 75 directions up to one for each 2.6
B_RANGE, GAIN_RANGE = ((0.5, 3.0), (0.4, 2.2))
Y00 = math.sqrt(4 * math.pi)  # the coefficient of the constant 1
VERSION = 1  # counts changes of what is drawn


@dataclass(frozen=True)
class Patch:
    """The signal of a patch of tissue: ``b0`` (side, side, side), near 1 in white matter, and the
    harmonic ``coefficients`` (15, side, side, side) of the shell ``b`` in ms/um^2.
    """

    b0: Tensor
    coefficients: Tensor
    b: float


def simulate(side: int, source: torch.Generator, b: float | None = None) -> Patch:
    """Simulate one patch of tissue.

    It mixes white matter, grey matter, cerebrospinal fluid and lesions, each with its own b = 0
    signal S0 and response,

        S(u) = sum_tissues fraction S0 E(u),   E_white = sum_p w_p K_p(u . n_p),
        E_grey, E_fluid, E_lesion isotropic,

    times texture and a slow bias; air has no signal. Several shells are several patches. Everything
    is isotropic in distribution, so turned patches need no augmentation. Widths and ranges are wide
    on purpose: a prior is only as good as its least usual training patch (Billot et al. 2023 for
    contrasts).

    Args:
        side: Voxels along each axis.
        source: The generator; the patch is a pure function of its state.
        b: The shell in ms/um^2; drawn unless given, and the tissue is the same at any b.

    Returns:
        The patch.
    """
    space = Space(side, source)
    drawn = float(space.log_uniform(*B_RANGE))
    b = drawn if b is None else b
    # Signals at b = 0 of white matter, grey matter and fluid in each voxel.
    fractions = tissue.tissues(space)
    s0 = torch.tensor([1.0, space.number(0.7, 1.6), space.number(1, 3)])[:, None] * fractions
    white = white_matter(space, b)
    # Grey matter, and fluid.
    isotropic = s0[1] * grey_matter(space, b) + s0[2] * torch.exp(
        -b * space.varying(2.6, 3.2, 1)[0]
    )
    b0, coefficients = s0.sum(0), s0[0] * white
    coefficients[0] += Y00 * isotropic
    if space.happens(0.4):
        b0, coefficients = _with_lesions(space, b, b0, coefficients)
    gain = _intensity(space)
    shape = (side, side, side)
    return Patch((gain * b0).view(shape), (gain * coefficients).view(-1, *shape), b)


def white_matter(space: Space, b: float) -> Tensor:
    """The response of fibre populations at ``b`` (ms/um^2), coefficients (15, voxels), 1 at
    b = 0.
    """
    populations = tissue.fibres(space)
    count = len(populations.weights)
    # The kernel of each population, dispersed about its direction and turned along it.
    kernel = (
        _stick_and_zeppelin(space, b, count)
        if space.happens(0.5)
        else _any_compartments(space, b, count)
    )
    kappa = space.varying(1.2, 4.5, count, 0.2).exp()
    coefficients = (
        populations.weights * along(dispersed(kernel, kappa), populations.directions)
    ).sum(1)
    # A dot compartment: water that does not move in any direction.
    if space.happens(0.15):
        dot = space.varying(0, 0.15, 1)[0]
        coefficients *= 1 - dot
        coefficients[0] += Y00 * dot
    return coefficients


def _stick_and_zeppelin(space: Space, b: float, count: int) -> Tensor:
    """Zonal coefficients (3, populations, voxels) of a stick and a zeppelin, with the perpendicular
    diffusivity by tortuosity, up to a fifth off.
    """
    inside, outside = space.varying(1.2, 2.8, count), space.varying(1.0, 2.6, count)
    fraction = space.varying(0.25, 0.85, count)
    across = ((1 - fraction) * outside * space.varying(0.8, 1.2, count)).clamp(max=2.6)
    k = zonal(
        torch.stack([inside, outside]), torch.stack([torch.zeros_like(across), across]), b, ORDER
    )
    return fraction * k[:, 0] + (1 - fraction) * k[:, 1]


def _any_compartments(space: Space, b: float, count: int) -> Tensor:
    """Zonal coefficients (3, populations, voxels) of one to three axisymmetric compartments."""
    parts = 1 + int(space.uniform(0, 3))
    along_fibre = torch.stack([space.varying(0.6, 2.8, count) for _ in range(parts)])
    across = torch.stack([space.varying(0, 0.9, count) for _ in range(parts)]) * along_fibre
    share = torch.softmax(
        space.normal(parts, 1, 1) + space.smooth(parts, 3.0)[:, None] * space.number(0, 0.5), 0
    )
    return (share * zonal(along_fibre, across, b, ORDER)).sum(1)


def grey_matter(space: Space, b: float) -> Tensor:
    """The isotropic response exp(-bD + K (bD)^2 / 6) of grey matter at ``b``, (voxels,), kurtosis
    K; bD is stopped before the response would rise again.
    """
    d, kurtosis = b * space.varying(0.5, 1.3, 1)[0], space.number(0, 0.8)
    d = d if kurtosis == 0 else d.clamp(max=3 / kurtosis)
    return torch.exp(-d + kurtosis * d**2 / 6)


def _with_lesions(
    space: Space, b: float, b0: Tensor, coefficients: Tensor
) -> tuple[Tensor, Tensor]:
    """The signals after lesions, one after the other, replaced part of them by an isotropic
    signal.
    """
    for share in tissue.blobs(space):
        s0, d = space.number(0.6, 2.2), space.number(0.8, 3)
        b0 = (1 - share) * b0 + share * s0
        coefficients = (1 - share) * coefficients
        coefficients[0] += Y00 * share * s0 * math.exp(-b * d)
    return b0, coefficients


def _intensity(space: Space) -> Tensor:
    """The factor on every signal of a voxel, (voxels,): scale, texture of a voxel's size, slow
    bias, and 0 in air.
    """
    texture = 1 + space.number(0, 0.08) * space.smooth(1, space.number(0.3, 1.2))[0]
    bias = torch.exp(space.number(0, 0.15) * space.smooth(1, space.log_uniform(5, 15))[0])
    return space.uniform(0.7, 1.35) * texture.clamp(min=0.5) * bias * tissue.presence(space)


@datasets.register("dmri-simulation")
class Simulation(Dataset):
    """Simulated patches as training data, made when asked for: patch i depends on (seed, i) alone,
    and its shell on b drawn anew.

    A sample is x = (g S0, c_00, c_2m, c_4m). In the orthonormal basis the coefficients of N well
    spread directions have noise of variance 4 pi sigma^2 / N, and g brings that of the mean of n
    images at b = 0 to the same, g^2 = 4 pi n / N, so x has white noise. The condition is b and g.

    Args:
        side: Voxels of a patch along each axis.
        count: Patches, the length of the dataset.
        seed: Of the patches.

    Raises:
        InputError: ``side`` is below 4 or ``count`` below 1.
    """

    def __init__(self, side: int = 16, count: int = 1_000_000, seed: int = 0) -> None:
        if side < 4 or count < 1:
            raise InputError(
                "Simulated patches need a side of at least 4 voxels and a count of at least 1, "
                f"got {side} and {count}."
            )
        self.name, self.shape = "dmri-simulation", (CHANNELS, side, side, side)
        self.side, self.count, self.seed = side, count, seed
        self.codec = {"name": "identity"}
        self.conditions = {"shell": {"name": "vector", "size": 2}}
        self.fingerprint = hashlib.sha256(
            f"{self.name} {VERSION} {side} {count} {seed}".encode()
        ).hexdigest()

    def __len__(self) -> int:
        return self.count

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        """``x`` (batch, 16, side, side, side) and ``shell`` (batch, 2), see ``shell_vector``."""
        patches, shells = zip(*(self._one(int(i)) for i in self.index(ids)), strict=True)
        return {"x": torch.stack(patches), "shell": torch.stack(shells)}

    def _one(self, i: int) -> tuple[Tensor, Tensor]:
        source = generator(self.seed, self.name, i)
        patch = simulate(self.side, source)
        gain = float(Space(1, source).log_uniform(*GAIN_RANGE))
        return torch.cat([gain * patch.b0[None], patch.coefficients]), shell_vector(patch.b, gain)
