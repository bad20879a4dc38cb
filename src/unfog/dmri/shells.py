r"""A shell of a scan as what the prior knows: x = (g S0, c), spherical-harmonic coefficients with
the mean of b = 0 before them.

With B the matrix of harmonics at N directions and n images at b = 0, noise of deviation sigma in
the signal gives

    Cov(c) = sigma^2 (B^T B)^-1,      level^2 = tr (B^T B)^-1 / count,      g = level sqrt(n),

so every channel of x has noise of deviation sigma level: exactly so on average over channels, and
nearly so in each where directions are well spread ((B^T B)^-1 is then close to 4 pi / N).
``whiteness`` says how nearly.

Fewer directions than coefficients are met by the likeliest: with L the variances that simulation
has (``RMS``), c = L B^T (B L B^T)^-1 S are the smallest that fit, each order measured against its
own size, and level^2 = 4 pi / N as if directions were well spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.dmri import harmonics
from unfog.dmri.gradients import SHELL_GAP, GradientTable
from unfog.errors import InputError

ORDER = 4
# Root mean squares of b = 0 and of each order's coefficients over patches: equal within an order,
# as rotations mix them.
RMS = (1.46, 1.49, *(0.138,) * 5, *(0.025,) * 9)


@dataclass(frozen=True)
class Shell:
    """One shell and the volumes at b = 0, as indices into the scan's volumes; ``b`` in s/mm^2,
    ``matrix`` (N, 15).
    """

    b: float
    volumes: NDArray[np.int64]
    b0: NDArray[np.int64]
    matrix: Tensor

    @property
    def level(self) -> float:
        """The noise of x for noise of deviation 1 in the signal."""
        few = len(self.matrix) < self.matrix.shape[1]
        return (
            math.sqrt(4 * math.pi / len(self.matrix))
            if few
            else float(self._covariance.diagonal().mean().sqrt())
        )

    @property
    def whiteness(self) -> float:
        """The smallest deviation of noise among all combinations of coefficients, over the largest:
        1 for white noise.
        """
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
        return self.inverse @ self.inverse.T

    @property
    def inverse(self) -> Tensor:
        """Signals to coefficients, (15, N): least squares, or with few directions the likeliest of
        what fits.
        """
        b, spread = (
            self.matrix,
            torch.tensor(RMS[1 : 1 + self.matrix.shape[1]], dtype=torch.float64),
        )
        if len(b) < b.shape[1]:
            likeliest: Tensor = spread[:, None] * torch.linalg.pinv(b * spread)
            return likeliest
        return harmonics.fit(torch.eye(len(b), dtype=torch.float64), b)[0].T

    def encode(self, signal: Tensor) -> Tensor:
        """Signals (..., volumes of the scan), b = 0 near 1, to x (16, ...)."""
        coefficients = signal[..., self.volumes] @ self.inverse.T.to(signal)
        s0 = signal[..., self.b0].mean(-1, keepdim=True)
        return torch.cat([self.gain * s0, coefficients], -1).movedim(-1, 0)

    def decode(self, x: Tensor, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (16, ...) to the signal at b = 0, (...), and those of the shell's volumes, (..., N), or
        ``at`` harmonics (M, 15): (..., M).
        """
        return x[0] / self.gain, x[1:].movedim(0, -1) @ (self.matrix if at is None else at).T.to(x)

    def residual(self, signal: Tensor, x: Tensor) -> Tensor:
        """What ``x`` (16, ...) leaves of signals (..., volumes of the scan), as an x; with enough
        directions, ``encode`` of them less x.
        """
        s0, predicted = self.decode(x)
        left = (signal[..., self.volumes] - predicted) @ self.inverse.T.to(signal)
        b0 = signal[..., self.b0].mean(-1) - s0
        return torch.cat([self.gain * b0[..., None], left], -1).movedim(-1, 0)

    def variance_at(self, at: Tensor, sigma: Tensor) -> Tensor:
        """What is not known of signals ``at`` harmonics (M, 15) where those measured have white
        errors ``sigma`` (...): (..., M).

        Coefficients are Gaussian with the simulation's variances L: b^T (B^T B / sigma^2 + L^-1)^-1
        b, by the singular values of B L^1/2.
        """
        spread = torch.tensor(RMS[1 : 1 + self.matrix.shape[1]], dtype=torch.float64)
        values, vectors = torch.linalg.eigh((self.matrix * spread).T @ (self.matrix * spread))
        share = 1 / (1 + values.clamp(min=0) / sigma[..., None].double() ** 2)
        variance: Tensor = share @ ((at * spread) @ vectors).square().T
        return variance

    def signal_variance(self, variance: Tensor) -> Tensor:
        """The variance of the shell's signals, averaged over them, (...), for that of x (16, ...)
        with its channels independent.
        """
        power = (self.matrix.T @ self.matrix).diagonal() / len(self.volumes)
        return torch.einsum("c...,c->...", variance[1:], power.to(variance))


def shells(gradients: GradientTable, order: int = ORDER, least: int | None = None) -> list[Shell]:
    """The shells of a table; ``InputError`` where one has fewer than ``least`` directions that
    differ (as many as coefficients, unless said), or the table no volume at b = 0.
    """
    b0 = np.flatnonzero(gradients.b0)
    if not len(b0):
        raise InputError(
            "The scan has no volume at b = 0, which the prior needs; add one at least."
        )
    found = []
    for b, volumes in gradients.shells().items():
        matrix = harmonics.design(torch.from_numpy(gradients.directions[volumes]), order)
        least = least or harmonics.count(order)
        if len(volumes) < least or int(torch.linalg.matrix_rank(matrix)) < least:
            raise InputError(
                f"The shell b = {b:.0f} has {len(volumes)} directions and needs {least} that "
                "differ; leave it out, or use low rank alone."
            )
        found.append(Shell(b, volumes, b0, matrix))
    return found


def same_shells(found: Sequence[Shell], at: GradientTable) -> list[tuple[int, NDArray[np.int64]]]:
    """The volumes of each shell of a table ``at``, with the number of the shell ``found`` that they
    are of.
    """
    pairs = []
    for b, volumes in at.shells().items():
        k = int(np.argmin([abs(shell.b - b) for shell in found]))
        if abs(found[k].b - b) > SHELL_GAP:
            told = ", ".join(f"{shell.b:.0f}" for shell in found)
            raise InputError(
                f"The shell b = {b:.0f} was not measured, and b = {told} was; ask for directions "
                "of a measured shell."
            )
        pairs.append((k, volumes))
    return pairs


def signals(found: Sequence[tuple[Shell, Tensor]], at: GradientTable) -> Tensor:
    """What x (16, ...) of each shell says of the volumes of a table ``at``, (..., volumes); at b =
    0 the mean of all shells.
    """
    b0 = torch.stack([shell.decode(x)[0] for shell, x in found]).mean(0)
    signal = b0[..., None].repeat(*(1,) * b0.ndim, len(at))
    for k, volumes in same_shells([shell for shell, _ in found], at):
        shell, x = found[k]
        signal[..., volumes] = shell.decode(x, basis(at.directions[volumes]))[1]
    return signal


def basis(directions: NDArray[np.float64]) -> Tensor:
    """The harmonics of the prior at unit ``directions`` (N, 3): (N, 15)."""
    return harmonics.design(torch.from_numpy(directions), ORDER)


def shell_vector(b: float, gain: float) -> Tensor:
    """What a network is told of a shell, (2,): b in ms/um^2 and ln g."""
    return torch.tensor([b, math.log(gain)])
