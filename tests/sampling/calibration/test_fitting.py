"""Where the prior is Gaussian, the fitted solver is the exact one in as many calls as the prior has
spreads.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import processes
from unfog.errors import InputError
from unfog.sampling.calibration.calibrate import fine
from unfog.sampling.calibration.fitting import directions, fit, root
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.calibration.trajectories import Trajectories
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers

MEAN = torch.tensor([0.5, -1.0, 0.2, 0.0]).double()


def noise(n: int, seed: int) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(process: str, spreads: list[float], seed: int = 0) -> Trajectories:
    denoiser = gaussian_denoiser(
        processes.build(process), MEAN, torch.diag(torch.tensor(spreads).double() ** 2)
    )
    return fine(denoiser, noise(16, seed), first(process), 200)


def first(process: str) -> Tensor:
    one = torch.ones((), dtype=torch.float64)
    return processes.build(process).t_of_noise_level(80 * one) if process == "edm" else one


def error(found: Trajectories, solver: LinearSolver) -> float:
    return float(found.errors(solver)[0].mean().sqrt())


@pytest.mark.parametrize("process", ["ddpm-linear", "ddpm-cosine", "edm", "flow"])
def test_one_spread_takes_one_call_and_the_mean(process: str) -> None:
    """x_0 = m + s (x_T - alpha_T m) with s = C^(1/2) / (alpha_T^2 C + sigma_T^2)^(1/2): the share
    of the last step.
    """
    learned, times = (
        gaussian(process, [0.6] * 4),
        first(process) * torch.tensor([1, 0.5, 0]).double(),
    )
    solver = fit([learned], times, MEAN)
    assert solver.calls == 1
    alpha, sigma = learned.denoiser.scales(times[0])
    unseen = gaussian(process, [0.6] * 4, seed=1)
    assert error(unseen, solver) < 2e-3
    assert (
        error(unseen, LinearSolver.of(samplers.build("ddim"), unseen.denoiser.process, times))
        > 0.05
    )
    total = float(0.6 / (alpha**2 * 0.36 + sigma**2).sqrt())
    kept = solver.shares[1] + (1 - alpha * solver.shares[1]) * solver.weights[1, 1] * _slope(
        learned, times, solver
    )
    assert float(kept) == pytest.approx(total, rel=1e-3)


def _slope(found: Trajectories, times: Tensor, solver: LinearSolver) -> Tensor:
    """d D_1 / d x_T of the solver, where D = m + alpha C / (alpha^2 C + sigma^2) (x - alpha m)."""
    alpha, sigma = found.denoiser.scales(times[1])
    return 0.36 * alpha / (0.36 * alpha**2 + sigma**2) * solver.shares[0]


def test_two_spreads_take_two_estimates() -> None:
    times = torch.tensor([1, 0.6, 0.3, 0]).double()
    learned, unseen = (gaussian("ddpm-linear", [0.3, 0.3, 0.9, 0.9], seed) for seed in (0, 1))
    assert error(unseen, fit([learned], times, MEAN)) < 2e-3
    assert (
        error(unseen, fit([learned], times[[0, 1, 3]], 0 * MEAN)) > 0.02
    )  # a mean that is not the data's


def test_sets_are_fitted_together() -> None:
    times = torch.tensor([1, 0.7, 0.4, 0]).double()
    a, b = (
        gaussian("ddpm-linear", [0.2, 0.4, 0.9, 0.5], 0),
        gaussian("ddpm-linear", [0.2, 0.4, 0.9, 0.5], 1),
    )
    whole = Trajectories(
        a.denoiser,
        torch.cat([a.start, b.start]),
        torch.cat([a.end, b.end]),
        type(a.way)(
            a.way.angles,
            torch.cat([a.way.states, b.way.states], 1),
            torch.cat([a.way.estimates, b.way.estimates], 1),
        ),
    )
    one, two = fit([whole], times), fit([a, b], times)
    torch.testing.assert_close(one.weights, two.weights)
    torch.testing.assert_close(one.shares, two.shares)
    torch.testing.assert_close(one.weights.sum(1), torch.ones(3, dtype=torch.float64))


def test_directions_are_independent() -> None:
    """Even where the mean is zero, whose direction moves nothing."""
    start, seen = noise(50, 0), [0 * noise(50, 0), noise(50, 1), noise(50, 1) + 0.1 * noise(50, 2)]
    u = directions(processes.build("ddpm-linear"), first("ddpm-linear"), start, seen)
    gram = u @ u.mT
    inverse = root(gram)
    torch.testing.assert_close(
        inverse.mT @ gram @ inverse, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-2
    )
    assert bool(root(torch.diag(torch.tensor([1.0, 0.0]).double())).isfinite().all())


def test_a_mean_of_another_shape() -> None:
    learned = gaussian("ddpm-linear", [0.6] * 4)
    solver = fit([learned], torch.tensor([1, 0.5, 0]).double(), MEAN)
    with pytest.raises(InputError, match="samples of shape"):
        sample(
            learned.denoiser, noise(4, 0)[:, :3], solver.times, solver, randomness=torch.Generator()
        )
