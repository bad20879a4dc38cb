r"""One shell of a scan as the prior sees it: x = (g S0, c), the spherical-harmonic coefficients c
of its signals, and before them the mean S0 of the volumes at b = 0, scaled by g.
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
from unfog.dmri.gradients import GradientTable, shell_width
from unfog.errors import InputError

ORDER = 4
# Root mean squares over simulated patches of the signal at b = 0 and of the coefficients: equal
# within an order, as rotations mix them.
RMS = (1.46, 1.49, *(0.138,) * 5, *(0.025,) * 9)
FREE = 0.3  # of the singular values of evenly spread directions, below which they determine nothing
TINY = 1e-9  # of the largest singular value: rounding


@dataclass(frozen=True)
class Shell:
    """One shell and the volumes at b = 0, with the linear map from signals to x = (g S0, c), c = M
    S.

    With B the harmonics at the shell's N directions and n images at b = 0, noise of deviation sigma
    in the signals gives

        Cov(c) = sigma^2 (B^T B)^-1,   level^2 = tr (B^T B)^-1 / 15,   g = level sqrt(n),

    so that every channel of x has noise of deviation sigma level: exactly so on average over the
    coefficients, and nearly so in each where directions are well spread ((B^T B)^-1 is then close
    to 4 pi / N). ``whiteness`` says how nearly.

    Where N < 15, the coefficients are the likeliest of those that fit: with L the variances in
    simulation (``RMS``), c = L B^T (B L B^T)^-1 S, and level^2 = 4 pi / N as if directions were
    well spread. So too where N is hardly larger and the directions leave combinations of
    coefficients nearly free, in which least squares would give noise alone: of B's singular values,
    all sqrt(max(N, 15) / 4 pi) if directions are spread evenly, those below .3 of that are left
    out.

    ``b`` is in s/mm^2; ``volumes`` (N,) and ``b0`` (n,) are indices into the scan's volumes;
    ``matrix`` is B, (N, 15) float64.
    """

    b: float
    volumes: NDArray[np.int64]
    b0: NDArray[np.int64]
    matrix: Tensor

    @property
    def level(self) -> float:
        """The deviation of noise in x, for noise of deviation 1 in the signals."""
        missing = int(torch.linalg.matrix_rank(self._determined, rtol=TINY)) < self.matrix.shape[1]
        return (
            math.sqrt(4 * math.pi / len(self.matrix))
            if missing
            else float(self._covariance.diagonal().mean().sqrt())
        )

    @property
    def whiteness(self) -> float:
        """How white the noise of the coefficients is: its smallest deviation in any direction of
        coefficient space over its largest, 1 for white noise.
        """
        values = torch.linalg.eigvalsh(self._covariance)
        return float((values[0] / values[-1]).sqrt())

    @property
    def gain(self) -> float:
        """g, which gives the channel of b = 0 the same noise as the coefficients."""
        return self.level * math.sqrt(len(self.b0))

    @property
    def condition(self) -> Tensor:
        """The network's condition, b and ln g, (1, 2)."""
        return shell_vector(self.b / 1000, self.gain)[None]

    @property
    def _covariance(self) -> Tensor:
        return self.inverse @ self.inverse.T

    @property
    def inverse(self) -> Tensor:
        """The matrix M (15, N) from signals to coefficients: least squares, or where directions do
        not determine all of them the likeliest coefficients that fit.
        """
        spread = torch.tensor(RMS[1 : 1 + self.matrix.shape[1]], dtype=torch.float64)
        # L B^T (B L B^T)^-1 = L^1/2 pinv(B L^1/2), which of 15 determined ones is pinv(B).
        likeliest: Tensor = spread[:, None] * torch.linalg.pinv(
            self._determined * spread, rtol=TINY
        )
        return likeliest

    @property
    def _determined(self) -> Tensor:
        """B (N, 15) without the combinations of coefficients that its directions leave nearly
        free.
        """
        left, values, right = torch.linalg.svd(self.matrix, full_matrices=False)
        even = math.sqrt(max(self.matrix.shape) / (4 * math.pi))
        determined: Tensor = (left * torch.where(values > FREE * even, values, 0.0)) @ right
        return determined

    def encode(self, signal: Tensor) -> Tensor:
        """x (16, ...) of signals (..., volumes of the scan), scaled so that those at b = 0 are near
        1.
        """
        coefficients = signal[..., self.volumes] @ self.inverse.T.to(signal)
        s0 = signal[..., self.b0].mean(-1, keepdim=True)
        return torch.cat([self.gain * s0, coefficients], -1).movedim(-1, 0)

    def decode(self, x: Tensor, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The signal at b = 0, (...), and the signals of the shell, that x (16, ...) stands for.

        They are those of the shell's volumes, (..., N), or at other harmonics ``at`` (M, 15), (...,
        M).
        """
        return x[0] / self.gain, x[1:].movedim(0, -1) @ (self.matrix if at is None else at).T.to(x)

    def residual(self, signal: Tensor, x: Tensor) -> Tensor:
        """The signals (..., volumes of the scan) less those that ``x`` (16, ...) stands for,
        encoded as an x (16, ...); with 15 directions or more this is ``encode(signal) - x``.
        """
        s0, predicted = self.decode(x)
        coefficients = (signal[..., self.volumes] - predicted) @ self.inverse.T.to(signal)
        b0 = signal[..., self.b0].mean(-1) - s0
        return torch.cat([self.gain * b0[..., None], coefficients], -1).movedim(-1, 0)

    def variance_at(self, at: Tensor, sigma: Tensor) -> Tensor:
        """Posterior variance of the signal at harmonics ``at`` b (M, 15), given signals of the
        shell with white noise of deviation ``sigma`` (...): (..., M).

        Gaussian regression with the variances L of the simulation as the prior of the coefficients,

            b^T (B^T B / sigma^2 + L^-1)^-1 b,

        calculated in the eigenvectors of L^1/2 B^T B L^1/2.
        """
        spread = torch.tensor(RMS[1 : 1 + self.matrix.shape[1]], dtype=torch.float64)
        values, vectors = torch.linalg.eigh((self.matrix * spread).T @ (self.matrix * spread))
        # In each eigenvector, the posterior variance over the prior's.
        share = 1 / (1 + values.clamp(min=0) / sigma[..., None].double() ** 2)
        variance: Tensor = share @ ((at * spread) @ vectors).square().T
        return variance

    def signal_variance(self, variance: Tensor) -> Tensor:
        """The variance of the shell's signals, averaged over its volumes, (...), given the
        ``variance`` of x (16, ...), whose channels count as independent.
        """
        power = (self.matrix.T @ self.matrix).diagonal() / len(self.volumes)
        return torch.einsum("c...,c->...", variance[1:], power.to(variance))


def shells(gradients: GradientTable, order: int = ORDER, least: int | None = None) -> list[Shell]:
    """The shells of a gradient table that the prior can take.

    Args:
        gradients: The table.
        order: Highest order of the harmonics.
        least: The fewest directions that differ a shell may have; as many as coefficients, 15,
            unless given. Other volumes are left out (``left_out``).

    Returns:
        A ``Shell`` for each, by rising b.

    Raises:
        InputError: The table has no volume at b = 0, or volumes with diffusion weighting and no
            shell of so many directions.
    """
    b0 = np.flatnonzero(gradients.b0)
    if not len(b0):
        raise InputError(
            "The scan has no volume at b = 0, which the prior needs; add one at least, or use low "
            "rank alone (--prior none)."
        )
    needed = harmonics.count(order) if least is None else least
    parts, all_shells = [], gradients.shells()
    for b, volumes in all_shells.items():
        # As many independent directions as are needed.
        matrix = harmonics.design(torch.from_numpy(gradients.directions[volumes]), order)
        if len(volumes) >= needed and int(torch.linalg.matrix_rank(matrix)) >= needed:
            parts.append(Shell(b, volumes, b0, matrix))
    if len(all_shells) == 1 and not parts:
        [(b, volumes)] = all_shells.items()
        raise InputError(
            f"The shell b = {b:.0f} has {len(volumes)} directions and needs {needed} that differ; "
            "use low rank alone (--prior none)."
        )
    if all_shells and not parts:
        low, high = min(all_shells), max(all_shells)
        raise InputError(
            f"The table has no shell of {needed} directions that differ: its b-values, {low:.0f} "
            f"to {high:.0f}, lie apart; use low rank alone (unfog dmri denoise --prior none)."
        )
    return parts


def left_out(gradients: GradientTable, least: int | None = None) -> NDArray[np.int64]:
    """The volumes with diffusion weighting that are in no shell of ``least`` directions (15 unless
    given).
    """
    used = [shell.volumes for shell in usable_shells(gradients, least)]
    return np.setdiff1d(np.flatnonzero(~gradients.b0), np.concatenate([*used, np.array([], int)]))


def usable_shells(gradients: GradientTable, least: int | None) -> list[Shell]:
    """The shells, or none where ``shells`` would refuse the table."""
    try:
        return shells(gradients, least=least)
    except InputError:
        return []


def same_shells(
    measured: Sequence[Shell], at: GradientTable
) -> list[tuple[int, NDArray[np.int64]]]:
    """For each shell of a table ``at``, the index of the shell in ``measured`` with the same
    b-value, and its volumes as indices into ``at``; `InputError` where no measured shell is as near
    as a shell is wide.
    """
    pairs = []
    for b, volumes in at.shells().items():
        # The measured shell nearest in b.
        k = int(np.argmin([abs(shell.b - b) for shell in measured]))
        if abs(measured[k].b - b) > shell_width(min(measured[k].b, b)):
            values = ", ".join(f"{shell.b:.0f}" for shell in measured)
            raise InputError(
                f"The shell b = {b:.0f} was not measured, and b = {values} was; ask for directions "
                "of a measured shell."
            )
        pairs.append((k, volumes))
    return pairs


def signals(measured: Sequence[tuple[Shell, Tensor]], at: GradientTable) -> Tensor:
    """The signals (..., volumes) of a table ``at`` that the shells' x (16, ...) stand for; at b = 0
    the mean over all shells.
    """
    b0 = torch.stack([shell.decode(x)[0] for shell, x in measured]).mean(0)
    signal = b0[..., None].repeat(*(1,) * b0.ndim, len(at))
    for k, volumes in same_shells([shell for shell, _ in measured], at):
        shell, x = measured[k]
        signal[..., volumes] = shell.decode(x, basis(at.directions[volumes]))[1]
    return signal


def basis(directions: NDArray[np.float64]) -> Tensor:
    """The harmonics of the prior, (N, 15), at unit ``directions`` (N, 3)."""
    return harmonics.design(torch.from_numpy(directions), ORDER)


def shell_vector(b: float, gain: float) -> Tensor:
    """A shell as the network's condition, (2,): ``b`` in ms/um^2, and ln ``gain``."""
    return torch.tensor([b, math.log(gain)])
