"""Linear solvers (``sampling.calibration.solver``) fitted to trajectories by least squares, step by
step.
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
    """The directions in which a linear solver's next state can be moved after the call i:

        u_0 = x_start - alpha_0 D_i,      u_j = D_{j-1} - D_i,   j = 1 .. i.

    Args:
        process: The forward process.
        first: The time t_0 of the start.
        start: x_start (n, channels, *space).
        seen: The denoised estimates D_0 .. D_i so far, each shaped as ``start``.

    Returns:
        U (i + 1, values), float64, over all values of all trajectories.
    """
    *before, last = seen
    moves = [
        start - process.alpha(first).to(start) * last,
        *(estimate - last for estimate in before),
    ]
    return torch.stack(moves).flatten(1).double()


def root(gram: Tensor) -> Tensor:
    """L^-T of the Cholesky factor U U^T = L L^T of a Gram matrix, with a ridge: its columns are
    coefficients of independent directions of unit norm.
    """
    ridge = torch.diag(RIDGE * gram.diagonal().clamp(min=1e-12 * gram.diagonal().max()))
    inverse: Tensor = torch.linalg.inv(torch.linalg.cholesky(gram + ridge))
    return inverse.mT


def fit(sets: Sequence[Trajectories], times: Tensor, mean: Tensor | None = None) -> LinearSolver:
    """The linear solver whose every state is nearest, in least squares, to the true trajectories',
    given its own steps before.

    In the directions u (``directions``) the next state of a linear solver is

        x_{i+1} = alpha_{i+1} D_i + sum_{j <= i} c_j u_j,
        s_i = c_0,      B_ij = c_{j+1} / (alpha_{i+1} - alpha_0 s_i)   for j < i,

    so the best c for the true state x* solves the normal equations over all values of all
    trajectories, U U^T c = U (x* - alpha_{i+1} D_i). Costs one network call a step and trajectory,
    and no gradient.

    Args:
        sets: The trajectories to fit.
        times: The solver's times (steps + 1,), float64, falling to 0.
        mean: The data's mean (channels, *space), to take for the first estimate instead of a call.

    Returns:
        The fitted solver.
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
        gram, right = (
            torch.zeros(step + 1, step + 1, dtype=torch.float64),
            torch.zeros(step + 1, dtype=torch.float64),
        )
        alpha = process.alpha(times[step + 1])
        # The normal equations, gram c = right, summed over the sets.
        for part, x, estimates in zip(sets, states, seen, strict=True):
            with torch.no_grad():
                estimates.append(solver.estimate(part.denoiser, x, step, {}))
            u, count = directions(process, times[0], part.start, estimates), x.numel() * len(sets)
            target = part.state(times[step + 1]) - alpha.to(x) * estimates[-1]
            gram, right = gram + u @ u.mT / count, right + u @ target.flatten().double() / count
        # c = (U U^T)^-1 U (x* - alpha D_i), by the Cholesky factor.
        inverse = root(gram)
        share, *moves = inverse @ (inverse.mT @ right)
        solver.shares[step] = share
        # B_ij = c_{j+1} / (alpha_{i+1} - alpha_0 s_i); the diagonal makes the row sum to 1.
        if moves:
            solver.weights[step, :step] = torch.stack(moves) / (
                alpha - process.alpha(times[0]) * share
            )
            solver.weights[step, step] = 1 - solver.weights[step, :step].sum()
        # Go on from the fitted solver's own states.
        states = [
            solver.state(process, part.start, estimates)
            for part, estimates in zip(sets, seen, strict=True)
        ]
    return solver
