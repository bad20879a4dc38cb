"""The grid of angles, and multistep consistency sampling with the exact consistency function of a
Gaussian.
"""

from __future__ import annotations

import math

import pytest
import torch
from support.priors import PROCESSES, ExactJump, flow_map, gaussian

from unfog.core.process import EDM, RectifiedFlow, VPLinear, ddpm_linear
from unfog.errors import InputError
from unfog.sampling.consistency import Consistency
from unfog.sampling.grids import angle, check_grid
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers

SOME = [VPLinear(), ddpm_linear(), EDM(), RectifiedFlow()]
name_of = lambda process: type(process).__name__  # noqa: E731


@pytest.mark.parametrize("process", PROCESSES, ids=name_of)
def test_angles_are_even_and_nested(process):
    coarse, fine = (check_grid(angle(0.7)(process, n)) for n in (3, 6))
    assert torch.allclose(fine[::2], coarse, atol=1e-12)
    angles = torch.atan(process.noise_level(fine[1:-1]) / 0.7)
    assert torch.allclose(
        angles.diff(), -torch.atan(process.noise_level(fine[0]) / 0.7) / 6, atol=1e-9
    )


def test_the_middle_is_where_noise_and_signal_are_equal():
    middle = angle(0.5)(RectifiedFlow(), 2)[1]
    assert float(RectifiedFlow().noise_level(middle)) == pytest.approx(0.5)


@pytest.mark.parametrize("segments", [1, 2, 4])
@pytest.mark.parametrize("process", SOME, ids=name_of)
def test_a_step_a_segment_is_the_probability_flow(process, segments):
    """No noise is added, and the deterministic map is the exact one."""
    oracle, mean, _ = gaussian(process, 3)
    x = torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    wanted = flow_map(oracle, x * process.sigma(one), one, zero)
    found = sample(
        ExactJump(oracle, segments),
        x,
        angle()(process, segments),
        Consistency(segments),
        randomness=torch.Generator(),
    )
    assert float((found - wanted).abs().max()) < 1e-10 * (1 + float(mean.abs().max()))


@pytest.mark.parametrize(("segments", "steps"), [(1, 3), (2, 4), (2, 6)])
@pytest.mark.parametrize("process", SOME, ids=name_of)
def test_further_steps_noise_anew_and_keep_the_law(process, segments, steps):
    oracle, mean, covariance = gaussian(process, 2)
    n, g = 40_000, torch.Generator().manual_seed(0)
    x = torch.randn(n, 2, dtype=torch.float64, generator=g)
    x = sample(
        ExactJump(oracle, segments), x, angle()(process, steps), Consistency(segments), randomness=g
    )
    error = math.sqrt(float(covariance.diagonal().max()) / n)
    start = float(
        process.alpha(torch.ones(()).double()) / process.sigma(torch.ones(()).double())
    )  # x_1 is drawn as noise alone
    assert float((x.mean(0) - mean).abs().max()) < 5 * error + start * float(mean.abs().max())
    assert torch.allclose(x.T.cov(), covariance, rtol=0.05, atol=0.03)


def test_a_sampler_of_other_ends_is_wrong():
    """The ends matter: one segment's sampler on a model of two leaves the law."""
    oracle, _, covariance = gaussian(VPLinear(), 2)
    g = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 2, dtype=torch.float64, generator=g)
    x = sample(ExactJump(oracle, 2), x, angle()(VPLinear(), 2), Consistency(1), randomness=g)
    assert float((x.T.cov().diagonal() / covariance.diagonal() - 1).abs().max()) > 0.1


def test_a_grid_coarser_than_the_segments_is_ddim():
    oracle, _, _ = gaussian(VPLinear(), 2)
    x, grid = torch.randn(4, 2, dtype=torch.float64), angle()(VPLinear(), 2)
    few, ddim = (
        sample(oracle, x, grid, s, randomness=torch.Generator())
        for s in (Consistency(4), samplers.build("ddim"))
    )
    assert torch.allclose(few, ddim, atol=1e-12)


def test_bad_numbers_are_refused():
    for bad in (0, 65):
        with pytest.raises(InputError, match="segments"):
            Consistency(bad)
    with pytest.raises(InputError, match="scale > 0"):
        angle(0.0)
