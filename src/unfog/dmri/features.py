r"""A shell of a scan as what the prior knows: x = (g S0, c), spherical-harmonic coefficients with the mean of b = 0 before them.

With B the matrix of harmonics at N directions and n images at b = 0, noise of deviation sigma in the signal gives

    Cov(c) = sigma^2 (B^T B)^-1,      level^2 = tr (B^T B)^-1 / count,      g = level sqrt(n),

so every channel of x has noise of deviation sigma level: exactly so on average over channels, and nearly so in each where directions
are well spread ((B^T B)^-1 is then close to 4 pi / N). ``whiteness`` says how nearly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.dmri import harmonics
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulate import ORDER, shell_vector
from unfog.errors import InputError


@dataclass(frozen=True)
class Shell:
    """One shell and the volumes at b = 0, as indices into the scan's volumes; ``b`` in s/mm^2, ``matrix`` (N, 15)."""

    b: float
    volumes: NDArray[np.int64]
    b0: NDArray[np.int64]
    matrix: Tensor

    @property
    def level(self) -> float:
        """The noise of x for noise of deviation 1 in the signal."""
        return float(self._covariance.diagonal().mean().sqrt())

    @property
    def whiteness(self) -> float:
        """The smallest deviation of noise among all combinations of coefficients, over the largest: 1 for white noise."""
        values = torch.linalg.eigvalsh(self._covariance)
        return float((values[0] / values[-1]).sqrt())

    @property
    def gain(self) -> float:
        """g, which gives b = 0 the noise of the coefficients."""
        return self.level * math.sqrt(len(self.b0))

    @property
    def condition(self) -> Tensor:
        """What the network is told of the shell, (1, 2)."""
        return shell_vector(self.b / 1000, self.gain)[None]

    @property
    def _covariance(self) -> Tensor:
        inverse: Tensor = torch.linalg.inv(self.matrix.T @ self.matrix)
        return inverse

    def encode(self, signal: Tensor) -> Tensor:
        """Signals (..., volumes of the scan), b = 0 near 1, to x (16, ...)."""
        coefficients, _ = harmonics.fit(signal[..., self.volumes], self.matrix)
        s0 = signal[..., self.b0].mean(-1, keepdim=True)
        return torch.cat([self.gain * s0, coefficients], -1).movedim(-1, 0)

    def decode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (16, ...) to the signal at b = 0, (...), and those of the shell's volumes, (..., N)."""
        return x[0] / self.gain, x[1:].movedim(0, -1) @ self.matrix.T.to(x)

    def signal_variance(self, variance: Tensor) -> Tensor:
        """The variance of the shell's signals, averaged over them, (...), for that of x (16, ...) with its channels independent."""
        power = (self.matrix.T @ self.matrix).diagonal() / len(self.volumes)
        return torch.einsum("c...,c->...", variance[1:], power.to(variance))


def shells(gradients: GradientTable, order: int = ORDER) -> list[Shell]:
    """The shells of a table; ``InputError`` where one has too few directions, or the table no volume at b = 0."""
    b0 = np.flatnonzero(gradients.b0)
    if not len(b0):
        raise InputError("The scan has no volume at b = 0, which the prior needs; add one at least.")
    found = []
    for b, volumes in gradients.shells().items():
        matrix = harmonics.design(torch.from_numpy(gradients.directions[volumes]), order)
        least = harmonics.count(order)
        if len(volumes) < least or int(torch.linalg.matrix_rank(matrix)) < least:
            raise InputError(
                f"The shell b = {b:.0f} has {len(volumes)} directions and needs {least} that differ; leave it out, or use low rank alone."
            )
        found.append(Shell(b, volumes, b0, matrix))
    return found
