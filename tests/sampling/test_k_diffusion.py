"""Parity with k-diffusion over whole trajectories, to 1e-7 on the same model outputs in float64."""

import pytest
import torch
from safetensors.torch import load_file
from support.k_diffusion_reference import CASES, FIXTURE, LEVELS, SEED, X, denoised, load, run

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM
from unfog.sampling.loop import trajectory
from unfog.sampling.samplers import samplers


class Shared(Denoiser):
    process = EDM(200.0)  # above the first level, so that churn has room

    def forward(self, x_t, t, **condition):
        return Posterior(denoised(x_t, float(self.process.sigma(t))))


def ours(name):
    sampler, randomness = samplers.build(CASES[name][0]), torch.Generator().manual_seed(SEED)
    grid = LEVELS / Shared.process.sigma_max
    return torch.stack(
        [state.x for state in trajectory(Shared(), X, grid, sampler, randomness=randomness)]
    )


@pytest.mark.parametrize("name", CASES)
def test_trajectories_are_those_of_k_diffusion(name):
    """As they were stored; with churn its states are those after the noise, so only the ends are
    alike.
    """
    mine, stored = ours(name), load_file(FIXTURE)[name]
    shown = slice(-1, None) if "churn" in name else slice(None)
    assert float((mine - stored)[shown].abs().max()) <= 1e-7
    assert float(stored[-1].std()) > 0.1


@pytest.mark.parametrize("name", CASES)
def test_the_stored_trajectories_are_k_diffusions(name):
    sampling = load()
    if sampling is None:
        pytest.skip("k-diffusion is not installed; its stored trajectories are compared instead")
    _, function, settings = CASES[name]
    assert torch.allclose(
        run(sampling, function, dict(settings)), load_file(FIXTURE)[name], rtol=0, atol=1e-12
    )
