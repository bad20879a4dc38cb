r"""Linear solvers by least squares, step by step: each state as near the true trajectories' as the
estimates so far allow.

The next state of a linear solver (``sampling.calibration.solver``) is, in the directions u_0 =
x_start - alpha_0 D_i and u_j = D_{j-1} - D_i, linear:

    x_{i+1} = alpha_{i+1} D_i + sum_{j <= i} c_j u_j,
    s_i = c_0,  B_ij = c_{j+1} / (alpha_{i+1} - alpha_0 s_i) for j < i,

so the c nearest to x* is that of the normal equations over all values of all trajectories, U U^T c
= U (x* - alpha_{i+1} D_i). A solver costs one call a step and trajectory, and no gradient. With U
U^T = L L^T, the columns of L^-T are independent directions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.process import Process
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.calibration.trajectories import Trajectories

RIDGE = 1e-5  # of each direction's own size: keeps those that hardly matter from growing


def directions(process: Process, first: Tensor, start: Tensor, seen: Sequence[Tensor]) -> Tensor:
    """The directions u (steps so far, values) in which the next state can be moved."""
    *before, last = seen
    moves = [
        start - process.alpha(first).to(start) * last,
        *(estimate - last for estimate in before),
    ]
    return torch.stack(moves).flatten(1).double()


def root(gram: Tensor) -> Tensor:
    """L^-T of a Gram matrix, its ridge included; independent directions are its columns."""
    ridge = torch.diag(RIDGE * gram.diagonal().clamp(min=1e-12 * gram.diagonal().max()))
    inverse: Tensor = torch.linalg.inv(torch.linalg.cholesky(gram + ridge))
    return inverse.mT


def fit(sets: Sequence[Trajectories], times: Tensor, mean: Tensor | None = None) -> LinearSolver:
    """The solver on these times (steps + 1,) whose every state is nearest the true one, given the
    steps before.
    """
    process, steps = sets[0].denoiser.process, len(times) - 1
    solver = LinearSolver(
        times,
        torch.eye(steps, dtype=torch.float64),
        process.sigma(times[1:]) / process.sigma(times[0]),
        mean,
    )
    states, seen = [part.start for part in sets], [list[Tensor]() for _ in sets]
    for step in range(steps):
        gram, toward = (
            torch.zeros(step + 1, step + 1, dtype=torch.float64),
            torch.zeros(step + 1, dtype=torch.float64),
        )
        alpha = process.alpha(times[step + 1])
        for part, x, known in zip(sets, states, seen, strict=True):
            with torch.no_grad():
                known.append(solver.estimate(part.denoiser, x, step, {}))
            u, count = directions(process, times[0], part.start, known), x.numel() * len(sets)
            wanted = part.state(times[step + 1]) - alpha.to(x) * known[-1]
            gram, toward = gram + u @ u.mT / count, toward + u @ wanted.flatten().double() / count
        inverse = root(gram)
        share, *moves = inverse @ (inverse.mT @ toward)
        solver.shares[step] = share
        if moves:
            solver.weights[step, :step] = torch.stack(moves) / (
                alpha - process.alpha(times[0]) * share
            )
            solver.weights[step, step] = 1 - solver.weights[step, :step].sum()
        states = [
            solver.state(process, part.start, known) for part, known in zip(sets, seen, strict=True)
        ]
    return solver
