"""A blind scan: low rank hands the prior its answer and the noise it believes is left, which is
about what is left.
"""

from __future__ import annotations

import numpy as np
import torch

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM
from unfog.dmri import harmonics
from unfog.dmri.denoising import classical
from unfog.dmri.denoising.beyond_harmonics import beyond_harmonics, own_weights
from unfog.dmri.denoising.blind import denoise_blind, refine
from unfog.dmri.denoising.twicing import twiced
from unfog.dmri.gradients import GradientTable
from unfog.dmri.shells import shells


class Listener(Denoiser):
    """Says that nothing is noise, and remembers the noise level it was told."""

    def __init__(self):
        super().__init__()
        self.process, self.heard = EDM(4.0), []

    def forward(self, x_t, t, **condition):
        self.heard.append(float(self.process.noise_level(t)))
        return Posterior(x_t)


def test_the_prior_gets_what_low_rank_leaves():
    n, n0, sigma, side = 45, 5, 0.05, 14
    directions = np.concatenate([np.zeros((n0, 3)), harmonics.fibonacci(2 * n)[:n].numpy()])
    table = GradientTable(np.r_[np.zeros(n0), np.full(n, 1000.0)], directions)
    shell, g = shells(table)[0], torch.Generator().manual_seed(0)
    at = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 3, indexing="ij")
    maps = torch.stack([at[0], at[1] ** 2, at[0] * at[2]])
    x = torch.zeros(16, side, side, side)
    x[0], x[1], x[3:6] = shell.gain, 1.6 + 0.2 * maps[0], 0.15 * maps
    s0, weighted = shell.decode(x)
    truth = torch.cat([s0[..., None].expand(side, side, side, n0), weighted], -1)
    y = (truth + sigma * torch.randn(truth.shape, generator=g)).abs().numpy()
    listener, first = Listener(), classical.denoise(y, table)
    found = denoise_blind(listener, y, table)
    scale = float(np.median(first.signal[..., :n0].mean(-1)))
    told = listener.heard[0] / shell.level * scale
    assert np.isclose(told, np.sqrt(np.mean(first.expected_error**2) * n / 15), rtol=1e-3)
    left = shell.encode(torch.from_numpy(first.signal) - truth)[1:] / shell.level
    assert 0.5 < float(left.square().mean().sqrt()) / told < 2
    assert told < 0.9 * sigma
    kept, measured = shell.encode(torch.from_numpy(first.signal)), torch.from_numpy(first.measured)
    torch.testing.assert_close(
        shell.residual(measured, kept), shell.encode(measured) - kept, atol=1e-5, rtol=1e-4
    )
    inside = torch.ones(side, side, side, dtype=torch.bool)
    back = twiced(kept, shell.encode(measured) - kept, first.noise.level * shell.level, inside)
    assert float((back - x)[1:].square().mean() / (kept - x)[1:].square().mean()) < 1.1
    s0, weighted = shell.decode(back)
    weighted = weighted + torch.from_numpy(
        beyond_harmonics(first, shell, np.ones((side, side, side)))
    )
    whole = torch.cat([s0[..., None].expand(side, side, side, n0), weighted], -1).numpy()
    common = whole.copy()
    # What single volumes have of their own; here they have nothing, and little comes of it.
    everywhere = np.ones((side, side, side), bool)
    whole += own_weights(first, table, everywhere) * (first.signal - whole)
    assert np.allclose(found.signal, whole, atol=1e-5)
    errors = [np.sqrt(np.mean((one - truth.numpy()) ** 2)) for one in (whole, common)]
    assert errors[0] < 1.03 * errors[1]


def test_the_noise_outside_the_mask_is_not_told_inside():
    """Air keeps its own noise, many times what low rank leaves in the head; a tile has one level,
    and it is the head's.
    """
    table = GradientTable(
        np.r_[np.zeros(4), np.full(30, 1000.0)],
        np.concatenate([np.zeros((4, 3)), harmonics.fibonacci(60)[:30].numpy()]),
    )
    y = 0.5 + 0.05 * np.random.default_rng(0).standard_normal((12, 12, 12, 34)).astype(np.float32)
    inside = np.zeros((12, 12, 12), bool)
    inside[3:9] = True
    first, listener = classical.denoise(y, table, inside), Listener()
    denoised = refine(listener, first, table, inside)
    scale = float(np.median(first.signal[inside][:, :4].mean(1)))
    told = listener.heard[0] / shells(table)[0].level * scale
    assert np.isclose(told, np.sqrt(np.mean(first.expected_error[inside] ** 2) * 2), rtol=1e-3)
    assert np.array_equal(denoised.signal[~inside], first.signal[~inside])
