"""The linear family holds the classical solvers, and calibration improves on them where it has not
looked.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unfog.core.oracle import MixtureDenoiser, gaussian_denoiser
from unfog.core.process import Process, processes
from unfog.errors import InputError
from unfog.sampling.calibration.calibrate import CLASSICAL, calibrate, classical_grids, fine
from unfog.sampling.calibration.solver import LinearSolver, coefficients
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers

FIRST = torch.ones((), dtype=torch.float64)


def mixture(process: Process, seed: int, dims: int = 2, modes: int = 4) -> MixtureDenoiser:
    g = torch.Generator().manual_seed(seed)
    means = torch.randn(modes, dims, generator=g, dtype=torch.float64)
    spread = 0.05 + 0.25 * torch.rand(modes, dims, generator=g, dtype=torch.float64)
    return MixtureDenoiser(
        process, torch.ones(modes, dtype=torch.float64), means, torch.diag_embed(spread**2)
    )


def noise(n: int, seed: int) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def solved(denoiser: MixtureDenoiser, x: Tensor, solver: LinearSolver) -> Tensor:
    return sample(denoiser, x, solver.times, solver, randomness=torch.Generator())


@pytest.mark.parametrize("name", CLASSICAL, ids=str)
@pytest.mark.parametrize("process", ["ddpm-linear", "edm", "flow"])
def test_every_classical_solver_is_a_member(name: object, process: str) -> None:
    denoiser = mixture(processes.build(process), 0)
    first = FIRST * (0.999 if process == "flow" else 1)
    times = classical_grids(denoiser, first, 7)[0][1]
    sampler = samplers.build(name)
    solver = LinearSolver.of(sampler, denoiser.process, times)
    torch.testing.assert_close(
        solver.weights.sum(1), torch.ones(7, dtype=torch.float64), rtol=0, atol=1e-9
    )
    assert float(solver.weights.triu(1).abs().max()) == 0
    theirs = sample(denoiser, noise(16, 1), times, sampler, randomness=torch.Generator())
    torch.testing.assert_close(solved(denoiser, noise(16, 1), solver), theirs, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_calibration_beats_the_best_classical_solver_on_unseen_mixtures() -> None:
    """Ten calls and more, and the solvers of others, are in benchmarks/accuracy_per_call.py."""
    calls = 5
    process = processes.build("ddpm-linear")
    learned = [fine(mixture(process, seed), noise(32, seed), FIRST, 300) for seed in (1, 2, 3)]
    found = calibrate(learned, FIRST, calls, iterations=60)
    assert float(found.after[:2].sum()) < float(found.before[:2].sum())
    unseen = fine(mixture(process, 9), noise(128, 9), FIRST, 300)
    ours = (solved(unseen.denoiser, noise(128, 9), found.solver) - unseen.end).square().mean(1)  # type: ignore[arg-type]
    for name in CLASSICAL:
        for _, times in classical_grids(unseen.denoiser, FIRST, calls):
            theirs, _ = unseen.errors(LinearSolver.of(samplers.build(name), process, times))
            assert float(ours.median()) < 0.5 * float(theirs.median())
            assert float(ours.mean()) < float(theirs.mean())


def test_no_iterations_leave_the_best_classical_solver() -> None:
    learned = [fine(mixture(processes.build("ddpm-linear"), 1), noise(16, 1), FIRST, 100)]
    found = calibrate(learned, FIRST, 6, iterations=0)
    assert torch.equal(found.after, found.before)
    expected = coefficients(
        samplers.build(found.sampler), learned[0].denoiser.process, found.solver.times
    )
    torch.testing.assert_close(found.solver.weights, expected)


def test_one_call() -> None:
    learned = [fine(mixture(processes.build("ddpm-linear"), 1), noise(16, 1), FIRST, 100)]
    assert calibrate(learned, FIRST, 1, iterations=0).solver.weights.tolist() == [[1.0]]
    assert calibrate(learned, FIRST, 1, iterations=8).solver.calls == 1


def test_a_calibration_finds_the_exact_solver_of_a_gaussian() -> None:
    """Two calls are enough for two spreads, where the shares are free; no classical solver is
    near.
    """
    mean = torch.tensor([0.5, -1.0]).double()
    denoiser = gaussian_denoiser(
        processes.build("ddpm-linear"), mean, torch.tensor([0.09, 0.81]).double().diag()
    )
    found = calibrate([fine(denoiser, noise(32, 1), FIRST, 200)], FIRST, 2, iterations=4)
    ours = fine(denoiser, noise(16, 2), FIRST, 200).errors(found.solver)[0].mean().log()
    assert float(ours) < float(found.before[1]) - 2 * math.log(100)


def test_bad_input() -> None:
    denoiser = mixture(processes.build("ddpm-linear"), 1)
    learned = [fine(denoiser, noise(4, 1), FIRST, 50)]
    solver = calibrate(learned, FIRST, 4, iterations=0).solver
    with pytest.raises(InputError, match="grid of 4 steps"):
        sample(denoiser, noise(4, 1), torch.linspace(1, 0, 5), solver, randomness=torch.Generator())
    with pytest.raises(InputError, match="at least one step"):
        calibrate(learned, FIRST, 0)
    with pytest.raises(InputError, match="at least 2 trajectories"):
        fine(denoiser, noise(1, 1), FIRST, 50).split()
    with pytest.raises(InputError, match="one call a step"):
        coefficients(samplers.build("heun"), denoiser.process, torch.linspace(0.9, 0, 4).double())
