r"""Linear solvers by least squares, step by step: each state as near the true trajectories' as the
estimates so far allow.

The next state of a linear solver (``sampling.calibration.solver``) is, in the directions u_0 =
x_start - alpha_0 D_i and u_j = D_{j-1} - D_i, linear:

    x_{i+1} = alpha_{i+1} D_i + sum_{j <= i} c_j u_j,
    s_i = c_0,  B_ij = c_{j+1} / (alpha_{i+1} - alpha_0 s_i) for j < i,

so the c nearest to the true state x* is that of the normal equations over all values of all
trajectories,

    U U^T c = U (x* - alpha_{i+1} D_i).

With U U^T = L L^T, the columns of L^-T are independent directions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.process import Process
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.calibration.trajectories import Trajectories

RIDGE = 1e-5  # over each direction's own size: keeps those that hardly matter from growing


def directions(process: Process, first: Tensor, start: Tensor, seen: Sequence[Tensor]) -> Tensor:
    """The directions u in which the next state of a linear solver can be moved.

    Args:
        process: the forward process.
        first: the time of ``start``, a scalar.
        start: x_start, (n, channels, *space).
        seen: the estimates D_0 .. D_i, likewise.

    Returns:
        (i + 1, values of all n), float64.
    """
    *before, last = seen
    moves = [
        start - process.alpha(first).to(start) * last,
        *(estimate - last for estimate in before),
    ]
    return torch.stack(moves).flatten(1).double()


def root(gram: Tensor) -> Tensor:
    """L^-T of a Gram matrix L L^T (m, m) with its ridge added; its columns are independent
    directions.
    """
    ridge = torch.diag(RIDGE * gram.diagonal().clamp(min=1e-12 * gram.diagonal().max()))
    inverse: Tensor = torch.linalg.inv(torch.linalg.cholesky(gram + ridge))
    return inverse.mT


def fit(sets: Sequence[Trajectories], times: Tensor, mean: Tensor | None = None) -> LinearSolver:
    """The solver on these times whose every state is nearest the true one in least squares, given
    the steps before. It costs one network call a step and trajectory, and no gradient.

    Args:
        sets: the true trajectories.
        times: (steps + 1,).
        mean: the data's mean (channels, *space), for a solver whose first step makes no call.

    Returns:
        The solver.
    """
    process, steps = sets[0].denoiser.process, len(times) - 1
    solver = LinearSolver(
        times,
        torch.eye(steps, dtype=torch.float64),
        process.sigma(times[1:]) / process.sigma(times[0]),
        mean,
    )
    states, estimates = [part.start for part in sets], [list[Tensor]() for _ in sets]
    for step in range(steps):
        # Normal equations over all sets.
        gram, toward = (
            torch.zeros(step + 1, step + 1, dtype=torch.float64),
            torch.zeros(step + 1, dtype=torch.float64),
        )
        alpha = process.alpha(times[step + 1])
        for part, x, estimates_of_part in zip(sets, states, estimates, strict=True):
            with torch.no_grad():
                estimates_of_part.append(solver.estimate(part.denoiser, x, step, {}))
            u, count = (
                directions(process, times[0], part.start, estimates_of_part),
                x.numel() * len(sets),
            )
            target = part.state(times[step + 1]) - alpha.to(x) * estimates_of_part[-1]
            gram, toward = gram + u @ u.mT / count, toward + u @ target.flatten().double() / count
        # c = (U U^T)^{-1} U (x* - alpha D), then s and the row of B.
        inverse = root(gram)
        share, *moves = inverse @ (inverse.mT @ toward)
        solver.shares[step] = share
        if moves:
            solver.weights[step, :step] = torch.stack(moves) / (
                alpha - process.alpha(times[0]) * share
            )
            solver.weights[step, step] = 1 - solver.weights[step, :step].sum()
        states = [
            solver.state(process, part.start, estimates_of_part)
            for part, estimates_of_part in zip(sets, estimates, strict=True)
        ]
    return solver
