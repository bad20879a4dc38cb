r"""Coil sensitivities for multi-coil k-space (``fourier.Coils``): a birdcage to simulate with, and
the scan's own.

The birdcage's coils stand on a circle about the image; each sees with the field of a current, one
over the complex distance, and all together are scaled to sum |s_c|^2 = 1 (the sensitivities of
Grissom's and of ISMRMRD's simulations are of this form).

Self-calibration takes the middle of k-space, which is measured whole (McKenzie et al. 2002):

    s_c = z_c / sqrt(sum |z_c|^2),     z_c the coil's image of the middle alone.

Its phase is then the image's too, so what is left of the image is real and not negative where the
phase is smooth.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.physics.fourier import Fourier, to_complex, to_real

FLOOR = 0.02  # of the brightest: where there is less signal than this the maps fade out


def birdcage(coils: int, size: tuple[int, int], radius: float = 1.5) -> Tensor:
    """Complex maps (coils, rows, columns) of coils on a circle of ``radius`` half-widths about the
    image.
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
    """Maps (coils, *space) from the middle ``width`` lines along every axis of complex k-space
    (coils, *space), centred.
    """
    window = torch.ones(kspace.shape[1:], dtype=torch.float64)
    for axis, n in enumerate(kspace.shape[1:]):
        place = (torch.arange(n) - n // 2) / (width / 2)
        taper = torch.where(place.abs() < 1, torch.cos(math.pi * place / 2) ** 2, 0.0).double()
        window = window * taper.view(-1, *(1,) * (kspace.ndim - 2 - axis))
    middle = to_real((kspace * window).to(torch.complex64)[None])
    images = to_complex(Fourier().adjoint(middle))[0]
    together = images.abs().square().sum(0).sqrt()
    if not bool(together.any()):
        raise InputError(
            "The middle of k-space is empty, so coil sensitivities cannot be found in it; give "
            "them."
        )
    return images / together.clamp(min=FLOOR * float(together.max()))
