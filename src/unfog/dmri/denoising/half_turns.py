r"""A prior averaged over half turns of the scan, so that errors which depend on how the head lies
average out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.dmri import harmonics
from unfog.dmri.shells import ORDER

HALF_TURNS = tuple(
    torch.diag(torch.tensor(signs, dtype=torch.float64))
    for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
)


class OverHalfTurns(Denoiser):
    """A denoiser of shells, x_t (batch, 16, X, Y, Z), averaged over half turns of the scan.

        E'[x_0 | x_t] = 1/4 sum_T  T^-1 E[x_0 | T x_t],
        T = 1 and the half turns about the three axes of the grid,

    where T moves the voxels and mixes the harmonics by its Wigner matrix. The prior over scans is
    the same whichever way they lie, so the exact posterior mean is unchanged; a network's comes
    nearer to it, and half turns of a scan then half-turn its answer exactly. (Test-time
    augmentation, Krizhevsky et al. 2012; over a group it is the Reynolds operator.) Each call makes
    four of ``denoiser``.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        total = torch.zeros_like(x_t)
        for turn in HALF_TURNS:
            total += turned(self.denoiser(turned(x_t, turn), t, **condition).mean, turn.T)
        return Posterior(total / len(HALF_TURNS))


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """A shell x (batch, 16, X, Y, Z) turned about the centre of its grid by ``turn`` (3, 3), one of
    the ``octahedral`` symmetries: voxels move, and directions with them.
    """
    coefficients = torch.einsum("ij,bjxyz->bixyz", harmonics.rotation(turn, ORDER).to(x), x[:, 1:])
    return harmonics.turn_volume(torch.cat([x[:, :1], coefficients], 1), turn).contiguous()
