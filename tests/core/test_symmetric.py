"""The mean over mirrors, held to an oracle."""

from __future__ import annotations

import torch

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import StationaryDenoiser
from unfog.core.process.variance_preserving import VPCosine
from unfog.core.symmetric import Symmetric


class Leaning(Denoiser):
    """An oracle with an error that is odd under each mirror, and a map added to what it says."""

    def __init__(self, oracle: Denoiser) -> None:
        super().__init__()
        self.oracle, self.process = oracle, oracle.process

    def forward(self, x_t, t, shade=0.0):
        ramp = torch.linspace(-1, 1, x_t.shape[-1])
        return Posterior(self.oracle(x_t, t).mean + ramp + shade)


def test_errors_that_do_not_commute_with_mirrors_are_taken_away_and_maps_go_along():
    # A power that is even in each frequency, so that the field is as likely mirrored.
    distance = torch.fft.fftfreq(4)[:, None].abs() + torch.fft.fftfreq(6).abs()
    oracle = StationaryDenoiser(VPCosine(), 1 / (0.1 + distance))
    x, t = torch.randn(2, 1, 4, 6, generator=torch.manual_seed(0)), torch.tensor(0.4)
    shade = torch.rand(2, 1, 4, 6, generator=torch.manual_seed(1))
    exact, leaning = oracle(x, t).mean, Leaning(oracle)
    assert float((leaning(x, t).mean - exact).abs().max()) > 0.9
    assert torch.allclose(Symmetric(leaning)(x, t).mean, exact, atol=1e-6)
    assert torch.allclose(Symmetric(oracle)(x, t).mean, exact, atol=1e-6)
    told = Symmetric(leaning, maps=["shade"])(x, t, shade=shade).mean
    assert torch.allclose(told, exact + shade, atol=1e-6)
    # Maps that stay where they are while the picture is mirrored are a mistake.
    assert not torch.allclose(Symmetric(leaning)(x, t, shade=shade).mean, exact + shade, atol=0.1)
