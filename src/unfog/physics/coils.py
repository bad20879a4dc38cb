r"""Coil sensitivities for multi-coil k-space (``fourier.Coils``): a birdcage to simulate with, and
the scan's own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.physics.fourier import Fourier, to_complex, to_real

FLOOR = 0.02  # of the brightest signal: where there is less the maps fade out


def birdcage(coils: int, size: tuple[int, int], radius: float = 1.5) -> Tensor:
    """Simulated sensitivities of a birdcage: coils on a circle about the image, each of which sees
    with the field of a current, one over the complex distance, all together scaled to sum |s_c|^2 =
    1 (of the form of Grissom's and of ISMRMRD's simulations).

    Args:
        coils: number of coils, 1 or more.
        size: rows and columns of the image.
        radius: of the circle in half-widths of the image, above 1.

    Returns:
        (coils, rows, columns), complex128.

    Raises:
        InputError: without a coil, or for a circle within the image.
    """
    if coils < 1 or not radius > 1:
        raise InputError(
            f"A birdcage has a coil or more on a circle of a radius above 1, got {coils} and "
            f"{radius}."
        )
    down, across = torch.meshgrid(
        *(torch.linspace(-1, 1, n, dtype=torch.float64) for n in size), indexing="ij"
    )
    angles = 2 * math.pi * torch.arange(coils, dtype=torch.float64)[:, None, None] / coils
    towards = torch.complex(radius * angles.cos() - across, radius * angles.sin() - down)
    maps = torch.exp(1j * angles) / towards
    return maps / maps.abs().square().sum(0).sqrt()


def self_calibrated(kspace: Tensor, width: int = 16) -> Tensor:
    """Sensitivities from the middle of k-space, which is measured whole (McKenzie et al. 2002):

        s_c = z_c / sqrt(sum |z_c|^2),     z_c the coil's image of the middle alone.

    Its phase is then the image's too, so what is left of the image is real and not negative where
    the phase is smooth. ``kspace`` is complex (coils, *space), centred; ``width`` is how many lines
    of every axis are its middle. The maps are complex (coils, *space).
    """
    # The middle, tapered by a squared cosine.
    window = torch.ones(kspace.shape[1:], dtype=torch.float64)
    for axis, n in enumerate(kspace.shape[1:]):
        place = (torch.arange(n) - n // 2) / (width / 2)
        taper = torch.where(place.abs() < 1, torch.cos(math.pi * place / 2) ** 2, 0.0).double()
        window = window * taper.view(-1, *(1,) * (kspace.ndim - 2 - axis))
    calibration = to_real((kspace * window).to(torch.complex64)[None])
    images = to_complex(Fourier().adjoint(calibration))[0]
    root_sum_of_squares = images.abs().square().sum(0).sqrt()
    if not bool(root_sum_of_squares.any()):
        raise InputError(
            "The middle of k-space is empty, so coil sensitivities cannot be found in it; give "
            "them."
        )
    return images / root_sum_of_squares.clamp(min=FLOOR * float(root_sum_of_squares.max()))
