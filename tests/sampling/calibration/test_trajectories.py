"""Fine trajectories are true at their ends and on their way, and a solver's standing is what it
says.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unfog.core.oracle import MixtureDenoiser, gaussian_denoiser
from unfog.core.process import processes
from unfog.sampling.calibration.calibrate import fine
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.calibration.trajectories import Trajectories
from unfog.sampling.grids import grids
from unfog.sampling.samplers import samplers

FIRST = torch.ones((), dtype=torch.float64)
MEAN, SPREAD = torch.tensor([0.5, -1.0]).double(), torch.tensor([0.3, 0.8]).double()


def gaussian(process: str, first: Tensor = FIRST) -> Trajectories:
    noise = torch.randn(16, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return fine(
        gaussian_denoiser(processes.build(process), MEAN, torch.diag(SPREAD**2)), noise, first, 400
    )


def state(found: Trajectories, first: Tensor, t: Tensor) -> Tensor:
    """On a Gaussian the flow is affine: x_t = alpha m + (alpha^2 C + sigma^2)^(1/2) (x_T - alpha_T
    m) / (alpha_T^2 C + sigma_T^2)^(1/2).
    """
    process = found.denoiser.process
    (a, s), (a_t, s_t) = ((process.alpha(at), process.sigma(at)) for at in (first, t))
    return a_t * MEAN + ((a_t**2 * SPREAD**2 + s_t**2) / (a**2 * SPREAD**2 + s**2)).sqrt() * (
        found.start - a * MEAN
    )


@pytest.mark.parametrize("process", ["ddpm-linear", "ddpm-cosine", "edm", "flow"])
def test_fine_trajectories_are_true_at_any_time(process: str) -> None:
    first = processes.build(process).t_of_noise_level(80 * FIRST) if process == "edm" else FIRST
    found = gaussian(process, first)
    torch.testing.assert_close(found.end, state(found, first, 0 * first), rtol=0, atol=2e-4)
    for share in (0.97, 0.61, 0.283, 0.1, 0.017):
        t = share * first
        torch.testing.assert_close(found.state(t), state(found, first, t), rtol=2e-4, atol=5e-4)
        expected = found.denoiser(state(found, first, t), t).mean
        torch.testing.assert_close(
            found.way.estimate(found.denoiser.process, t), expected, rtol=0, atol=2e-4
        )


def test_estimates_can_be_differentiated_in_time() -> None:
    """Within a step of a table, and where two meet, where rounding must not take the slope away."""
    found, process = gaussian("ddpm-linear"), processes.build("ddpm-linear")
    for place in (0.4003, 0.4):
        t = torch.tensor(place, dtype=torch.float64, requires_grad=True)
        slope = torch.autograd.grad(found.way.estimate(process, t).sum(), t)[0]
        ahead, behind = (
            found.way.estimate(process, t.detach() + step).sum() for step in (1e-5, -1e-5)
        )
        assert float((ahead - behind).abs()) > 1e-6
        torch.testing.assert_close(slope, (ahead - behind) / 2e-5, rtol=5e-3, atol=0)


def test_one_call_has_no_way_but_its_end() -> None:
    found = gaussian("ddpm-linear")
    once, same = found.errors(
        LinearSolver.of(
            samplers.build("ddim"), found.denoiser.process, torch.tensor([1.0, 0.0]).double()
        )
    )
    assert torch.equal(once, same)


def test_the_way_is_a_mean_over_the_angle() -> None:
    """So a call that stands for a short stretch of the way has little say."""
    found, process = gaussian("ddpm-linear"), processes.build("ddpm-linear")
    times = torch.tensor([1.0, 0.6, 0.05, 0.0]).double()
    solver = LinearSolver.of(samplers.build("ddim"), process, times)
    seen = found.solve(solver)[1]
    early, late = (
        (seen[i] - found.way.estimate(process, times[i])).square().mean(1) for i in (1, 2)
    )
    phi = torch.atan2(process.sigma(times), process.alpha(times))
    share = (phi[0] - phi[2]) / (phi[0] - phi[2] + phi[1] - phi[3])
    torch.testing.assert_close(found.errors(solver)[1], share * early + (1 - share) * late)
    assert float((late.mean() / early.mean() - 1).abs()) > 0.5


def test_the_way_tells_how_near_another_mode_was() -> None:
    """Of starts that end in the right mode, with hardly an error, those near the divide have the
    greater one on the way.
    """
    process, starts = processes.build("ddpm-linear"), torch.tensor([[0.3], [2.0]]).double()
    means, narrow = torch.tensor([[-1.0], [1.0]]).double(), 1e-4 * torch.ones(2, 1, 1).double()
    found = fine(
        MixtureDenoiser(process, torch.ones(2).double(), means, narrow), starts, FIRST, 200
    )
    times = grids.build(
        {"name": "log-snr", "sigma_min": 0.01, "sigma_max": float(process.noise_level(FIRST))}
    )(process, 12)
    last, way = found.errors(LinearSolver.of(samplers.build("ddim"), process, times))
    assert float(last.max()) < 1e-3
    assert float(way[0]) > 10 * float(way[1])


def test_standing() -> None:
    """The mean error of ends, those in another mode as far off as counts, and of the way; and the
    middle of the ends' errors.
    """
    found = gaussian("ddpm-linear")
    ends, way = (
        torch.tensor([1e-4, 1e-6, 1e-2, 50.0]).double(),
        torch.tensor([4.0, 1.0, 0.0, 9.0]).double(),
    )

    class Known(Trajectories):
        def errors(self, solver: LinearSolver) -> tuple[Tensor, Tensor]:
            return ends, way

    known = Known(found.denoiser, found.start, found.end, found.way)
    spread = float(found.end.var(0, correction=0).mean())
    expected = torch.tensor([(1e-4 + 1e-6 + 1e-2 + 0.1 * spread) / 4 + 3.5, 1e-3]).double().log()
    torch.testing.assert_close(
        known.standing(LinearSolver(FIRST, FIRST, FIRST)), expected, rtol=1e-6, atol=1e-6
    )
