"""What lies beyond the prior's harmonics: kept where it is signal, by Wiener's weight, and left out
where it is noise.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.rings import make_ring, with_noise

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM
from unfog.dmri import harmonics
from unfog.dmri.denoising import classical
from unfog.dmri.denoising.beyond_harmonics import beyond_harmonics
from unfog.dmri.denoising.blind import refine
from unfog.dmri.denoising.classical import Denoised
from unfog.dmri.denoising.low_rank import Components
from unfog.dmri.denoising.noise_level import Noise
from unfog.dmri.gradients import GradientTable
from unfog.dmri.shells import shells

SPACE, N = (16, 16, 16), 60
TABLE = GradientTable(
    np.r_[0.0, np.full(N, 1000.0)],
    np.concatenate([np.zeros((1, 3)), harmonics.fibonacci(2 * N)[:N].numpy()]),
)
ALL = np.ones(SPACE, bool)


@pytest.mark.parametrize("power", [0.0, 0.5, 3.0])
def test_wieners_weight_is_found(power: float) -> None:
    """Signal of order 6 in noise along r axes of which half lie beyond order 4: what is kept errs
    as little as the best weight.
    """
    [shell] = shells(TABLE)
    inner, _ = torch.linalg.qr(shell.matrix)
    six = harmonics.design(torch.from_numpy(TABLE.directions[1:]), 6)[:, 15:]
    outer, _ = torch.linalg.qr(six - inner @ (inner.T @ six))
    axes = torch.zeros(N + 1, 10)
    axes[1:] = torch.cat([inner[:, :5], outer[:, :5]], 1)
    source, e = torch.Generator().manual_seed(0), 0.1
    noise = e * ((N + 1) / 10) ** 0.5 * torch.randn(*SPACE, 10, generator=source) @ axes.T
    truth = torch.zeros_like(noise)
    truth[..., 1:] = (
        e
        * ((N + 1) / 10 * power) ** 0.5
        * torch.randn(*SPACE, 5, generator=source)
        @ outer[:, :5].T.float()
    )
    found = Noise(
        torch.ones(SPACE),
        torch.zeros(3, 2),
        Components(torch.zeros(N + 1), axes, torch.ones(N + 1), torch.ones(1)),
    )
    kept = beyond_harmonics(
        Denoised(
            (truth + noise).numpy(),
            np.ones(SPACE),
            np.full(SPACE, e, np.float32),
            found,
            truth.numpy(),
        ),
        shell,
        ALL,
    )
    error, best = (
        np.mean((kept - truth[..., 1:].numpy()) ** 2),
        power / (1 + power) * e**2 * (N + 1) / 10 * 5 / N,
    )
    assert error == pytest.approx(best, rel=0.05, abs=0.002 * e**2)


class FourthOrder(Denoiser):
    """Leaves what it sees as it is, and sees harmonics to order 4."""

    def __init__(self) -> None:
        super().__init__()
        self.process = EDM(4.0)

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, **condition: object) -> Posterior:
        return Posterior(x_t)


def test_sharp_fibres_at_high_b_keep_their_signal(gradients: GradientTable) -> None:
    """At b = 3000 and little noise a prior to order 4 alone would err three times more than low
    rank.
    """
    table = GradientTable(3 * gradients.bvals, gradients.directions)
    truth = make_ring(table, (20, 20, 6)).signal
    first = classical.denoise(with_noise(truth, 0.02), table)

    def error(signal: np.ndarray) -> float:
        return float(np.sqrt(np.mean((signal - truth)[..., ~table.b0] ** 2)))

    [shell] = shells(table)
    alone = refine(FourthOrder(), first, table).signal
    alone[..., shell.volumes] -= beyond_harmonics(first, shell, np.ones(first.sigma.shape))
    assert error(alone) > 2 * error(first.signal)
    assert error(refine(FourthOrder(), first, table).signal) < 1.03 * error(first.signal)
