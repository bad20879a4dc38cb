"""The U-Net over low rank: where it starts, and that its posterior is one."""

from __future__ import annotations

import torch

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.random import generator
from unfog.dmri.lowrank import local_svd, optimal_shrinkage
from unfog.dmri.simulate import Simulation
from unfog.systems.build import build
from unfog.systems.dmri_prior import dmri_prior


def prior() -> tuple[NetworkDenoiser, dict[str, torch.Tensor]]:
    """An untrained one of the recipe, and a batch."""
    dataset = Simulation(side=8)
    config = {**dmri_prior(dataset), "shape": list(dataset.shape), "codec": {"name": "identity"}}
    return build(config).denoiser.eval(), dataset.batch([0, 1])


def test_it_starts_as_low_rank_alone() -> None:
    """D(x_t) = s L(x_t / s), at a level for each sample: the prediction's skip and scales cancel."""
    denoiser, batch = prior()
    levels = torch.tensor([0.01, 0.2], dtype=torch.float64)
    s = levels.float().view(2, 1, 1, 1, 1)
    x_t = batch["x"] + s * torch.randn(batch["x"].shape, generator=generator(0))
    found = denoiser(x_t, denoiser.process.t_of_noise_level(levels), shell=batch["shell"]).mean
    for one, level, mean in zip(x_t, s[:, 0], found, strict=True):
        z, _ = local_svd((one / level).movedim(0, -1), torch.ones(8, 8, 8, dtype=torch.bool), optimal_shrinkage)
        torch.testing.assert_close(mean, level * z.movedim(-1, 0), rtol=1e-4, atol=1e-5)


def test_what_it_learns_is_added_and_its_covariance_is_low_ranks_at_first() -> None:
    """s^2 times the derivative of s L(x / s): below s^2, and positive along the noise of signal that is there."""
    denoiser, batch = prior()
    t = denoiser.process.t_of_noise_level(torch.tensor([0.05], dtype=torch.float64))
    x_t = batch["x"][:1] + 0.05 * torch.randn(batch["x"][:1].shape, generator=generator(0))
    v = torch.randn(x_t.shape, generator=generator(1))
    mean, covariance = denoiser.with_covariance(x_t, t, shell=batch["shell"][:1])
    e = 1e-3
    with torch.no_grad():
        sides = [denoiser(x_t + sign * e * v, t, shell=batch["shell"][:1]).mean for sign in (1, -1)]
    expected = 0.05**2 * float(((sides[0] - sides[1]) / (2 * e) * v).sum())
    assert 0 < expected < 0.05**2 * float((v * v).sum())
    assert abs(float((covariance(v) * v).sum()) / expected - 1) < 0.02
    with torch.no_grad():
        denoiser.network.get_submodule("unet.leave").get_parameter("bias").fill_(1.0)
    assert float((denoiser(x_t, t, shell=batch["shell"][:1]).mean - mean).abs().min()) > 1e-3
