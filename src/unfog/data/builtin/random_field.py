"""The data set ``random-field``: Gaussian random fields on a periodic square or cube."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.random import generators
from unfog.data.dataset import ArrayDataset, Dataset, choose, datasets
from unfog.data.patches import Patches
from unfog.errors import InputError

COUNTS = {"train": 4096, "validation": 256, "test": 256}
CUBES = {"train": 64, "validation": 16, "test": 16}  # of fields in three dimensions
CODEC = {"name": "range", "low": -2.0, "high": 2.0}  # two standard deviations


def wavenumbers(size: int, dims: int = 2) -> Tensor:
    """The wavenumbers |k| of the discrete Fourier transform of a square or cube, (size,) * dims,
    float64.
    """
    k = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
    squares: Tensor = torch.stack(torch.meshgrid(*[k] * dims, indexing="ij")).square().sum(0)
    return squares.sqrt()


def power_law(size: int, slope: float, dims: int = 2, knee: float = 0.0) -> Tensor:
    """The spectrum P(k) ~ (knee^2 + |k|^2)^(-slope / 2) for |k| >= 1, P(0) = 0, (size,) * dims: the
    variance of each Fourier mode. Its sum, the variance of a value, is 1.

    Args:
        size: The points a side, 4 or more.
        slope: The exponent, 0 or more.
        dims: Axes of space.
        knee: The wavenumber below which the spectrum is flat; 0 for a power law.

    Returns:
        P, float64.

    Raises:
        InputError: The size, slope or knee is out of range.
    """
    if size < 4 or not slope >= 0 or not knee >= 0:
        raise InputError(
            f"A random field has 4 values or more a side, and a slope and knee of 0 or more, got "
            f"{size}, {slope} and {knee}."
        )
    k = wavenumbers(size, dims)
    power = torch.where(k > 0, (knee**2 + k.clamp(min=1) ** 2) ** (-slope / 2), 0.0)
    return power / power.sum()


def coloured(white: Tensor, power: Tensor) -> Tensor:
    """Gaussian fields of the spectrum ``power`` (*space), by filtering white noise (..., *space) in
    Fourier space; real, and shaped as the noise.
    """
    axes = tuple(range(-power.ndim, 0))
    amplitude = (power * power.numel()).sqrt().to(white.dtype)
    filtered: Tensor = torch.fft.ifftn(torch.fft.fftn(white, dim=axes) * amplitude, dim=axes).real
    return filtered


class RandomField(ArrayDataset):
    """Gaussian random fields (1, *space) of a known spectrum, mean 0 and variance 1.

        x = sum_k sqrt(P(k)) z_k exp(i k . r),     P as ``power_law`` has it,

    z white. Their posterior given sensors is known in closed form (``evaluation.kriging``), and so
    is their denoiser (``core.oracle.StationaryDenoiser``) by their spectrum ``power`` (*space).
    Sample i of a split is a function of (seed, split, i) alone.

    Args:
        split: ``train`` (4096 squares or 64 cubes), ``validation`` or ``test`` (256 or 16).
        size: The points a side.
        slope: The exponent of the spectrum, 0 or more.
        seed: The seed of all fields.
        dims: 2 for squares, 3 for cubes.
        knee: The wavenumber below which the spectrum is flat.
    """

    def __init__(
        self,
        split: str = "train",
        size: int = 64,
        slope: float = 3.0,
        seed: int = 0,
        dims: int = 2,
        knee: float = 0.0,
    ) -> None:
        choose("The split of random-field", split, tuple(COUNTS))
        choose("The dims of random-field", dims, (2, 3))
        self.power = power_law(size, slope, dims, knee)
        count = (COUNTS if dims == 2 else CUBES)[split]
        white = torch.stack(
            [
                torch.randn(1, *[size] * dims, generator=g)
                for g in generators(seed, range(count), f"field-{split}")
            ]
        )
        options = {"split": split, "size": size, "slope": slope, "seed": seed}
        options |= {"dims": dims, "knee": knee} if dims == 3 or knee else {}
        super().__init__("random-field", coloured(white, self.power), CODEC, options=options)


@datasets.register("random-field")
def random_field(
    split: str = "train",
    size: int = 64,
    slope: float = 3.0,
    seed: int = 0,
    dims: int = 2,
    knee: float = 0.0,
    patch: int | None = None,
) -> Dataset:
    """``RandomField``, or random cubes of it.

    Args:
        split: ``train``, ``validation`` or ``test``.
        size: The points a side.
        slope: The exponent of the spectrum, 0 or more.
        seed: The seed of all fields.
        dims: 2 for squares, 3 for cubes.
        knee: The wavenumber below which the spectrum is flat.
        patch: The side of random cubes of fields in three dimensions; None for whole fields.

    Returns:
        The data set.

    Raises:
        InputError: An option is out of range.
    """
    fields = RandomField(split, size, slope, seed, dims, knee)
    if patch is None:
        return fields
    if dims != 3:
        raise InputError(f"Patches of random-field are cut out of dims=3, not {dims}.")
    whole = fields.batch(range(len(fields)))["x"][:, 0].numpy()
    volumes = {f"random-field {k}": field for k, field in enumerate(whole)}
    return Patches("random-field", volumes, patch, CODEC, (1.0,) * 3, options={"seed": seed})
