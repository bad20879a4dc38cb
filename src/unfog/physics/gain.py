r"""A smooth gain, such as the shading of a receiver: a low-order log-gain, f(r) = exp(B(r) c)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.errors import InputError


@dataclass(frozen=True)
class SmoothGain:
    r"""Gains f = exp(sum_j c_j B_j) with independent c_j ~ N(0, tau_j^2).

    Args:
        basis: B, (modes, *space).
        deviation: tau, above 0, (modes,).
    """

    basis: Tensor
    deviation: Tensor

    @classmethod
    def cosines(
        cls, space: Sequence[int], wavelength: float, deviation: float, scale: float
    ) -> SmoothGain:
        r"""The cosines of the DCT-II,

            B_k(r) = prod_a sqrt(2 or 1) cos(pi k_a (r_a + 1/2) / n_a),

        each of mean square 1, whose wavelength L_k = 2 / |(k_a / n_a)_a| is at least that given.
        The constant one comes first. Variances go with L_k^4, those of a thin plate, and their sum
        without the constant is ``deviation`` squared.

        Args:
            space: The grid, (*space).
            wavelength: The shortest wave in pixels.
            deviation: The log-gain's over the image, above 0.
            scale: That of the mean log-gain, above 0.

        Returns:
            The gain.

        Raises:
            InputError: A deviation is not above 0, or no wave is so long.
        """
        if not (deviation > 0 and scale > 0):
            raise InputError("The deviations of a log-gain are above zero.")
        numbers = [(), *_waves(space, wavelength)]
        if len(numbers) == 1:
            raise InputError(
                f"No wave on {' x '.join(map(str, space))} pixels is {wavelength:g} long; take "
                f"{2 * max(space)} or less."
            )
        numbers[0] = (0,) * len(space)
        basis = torch.stack([_cosine(space, k) for k in numbers])
        lengths = torch.tensor([_wavelength(space, k) for k in numbers[1:]], dtype=torch.float64)
        variance = deviation**2 * lengths**4 / (lengths**4).sum()
        return cls(basis, torch.cat([torch.tensor([scale], dtype=torch.float64), variance.sqrt()]))

    def __call__(self, coefficients: Tensor) -> Tensor:
        """f of coefficients (batch, modes): (batch, 1, *space), in their type."""
        log: Tensor = torch.tensordot(coefficients, self.basis.to(coefficients), 1)
        return log.exp()[:, None]


def _waves(space: Sequence[int], wavelength: float) -> list[tuple[int, ...]]:
    """The numbers k of the waves of that length or longer but the constant, longest first."""
    counts = [range(min(n - 1, int(2 * n / wavelength)) + 1) for n in space]
    numbers = torch.cartesian_prod(*(torch.tensor(c) for c in counts)).reshape(-1, len(space))
    kept = [tuple(k) for k in numbers.tolist() if any(k) and _wavelength(space, k) >= wavelength]
    return sorted(kept, key=lambda k: -_wavelength(space, k))


def _wavelength(space: Sequence[int], number: Sequence[int]) -> float:
    return 2 / math.hypot(*(k / n for k, n in zip(number, space, strict=True)))


def _cosine(space: Sequence[int], number: Sequence[int]) -> Tensor:
    """B_k, (*space)."""
    wave = torch.ones((), dtype=torch.float64)
    for n, k in zip(space, number, strict=True):
        at = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        wave = wave[..., None] * (math.sqrt(2.0) if k else 1.0) * torch.cos(math.pi * k * at)
    return wave
