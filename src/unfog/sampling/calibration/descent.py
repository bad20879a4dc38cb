r"""Descent: a linear solver improved by gradients through the network.

L-BFGS over the gaps of log t, the shares s and the coefficients of B under the diagonal (the
diagonal makes each row sum to 1), in coordinates that are independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from unfog.sampling.calibration.fitting import directions, root
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.calibration.trajectories import Trajectories

ROUND = 4  # iterations of L-BFGS between two solvers that are yielded
STRETCH = 0.3  # the unit of log-gaps


def descend(
    sets: Sequence[Trajectories], start: LinearSolver, best: Tensor
) -> Iterator[LinearSolver]:
    """L-BFGS from a solver; yields it, and one after every ``ROUND`` iterations, without end.

    Args:
        sets: trajectories to learn from.
        start: the solver to start from.
        best: standing of the best classical solver, (2,), the unit of the loss.

    Returns:
        The solvers, each better on ``sets`` than the one before, as a rule.
    """
    process, times, mean = sets[0].denoiser.process, start.times, start.mean
    # Coordinates: log-gaps of the times, and changes of shares and coefficients in ``scales``.
    origin, scales = times[0].log(), _scales(sets, start)
    gaps = (times[:-2].log() - times[1:-1].log()).log()
    extra = start.shares - process.sigma(times[1:]) / process.sigma(times[0])
    stretch, change = (
        torch.zeros_like(gaps).requires_grad_(),
        torch.zeros_like(start.weights).requires_grad_(),
    )

    def solver() -> LinearSolver:
        """The solver at the coordinates ``stretch`` and ``change``."""
        inner = (origin - (gaps + STRETCH * stretch).exp().cumsum(0)).exp()
        now = torch.cat([times[:1], inner, times[-1:]])
        shift = torch.einsum("ijk,ik->ij", scales, change)
        under = torch.tril(start.weights, -1) + torch.nn.functional.pad(shift[:, 1:], (0, 1))
        shares = process.sigma(now[1:]) / process.sigma(now[0]) + extra + shift[:, 0]
        return LinearSolver(now, under + torch.diag(1 - under.sum(1)), shares, mean)

    def closure() -> float:
        """The loss, log sum_k (error_k^2 / best_k^2), and its gradient."""
        optimizer.zero_grad()
        total = 0.0
        for part in sets:  # one graph at a time: memory is that of one set
            with torch.enable_grad():
                value = torch.logsumexp(part.standing(solver()) - best, 0) / len(sets)
                value.backward()  # type: ignore[no-untyped-call]
            total += float(value.detach())
        return total

    optimizer = torch.optim.LBFGS(
        [stretch, change], lr=1.0, max_iter=ROUND, history_size=100, line_search_fn="strong_wolfe"
    )
    yield start
    while True:
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        now = solver()
        yield LinearSolver(now.times.detach(), now.weights.detach(), now.shares.detach(), mean)


def _scales(sets: Sequence[Trajectories], solver: LinearSolver) -> Tensor:
    """Coordinates in which the loss is round, (steps, steps, steps): a unit change of a step moves
    its state by the solver's own error. Estimates of neighbouring calls are nearly equal, so the
    bare coefficients are far from independent.
    """
    process, steps = sets[0].denoiser.process, len(solver.weights)
    rest = process.alpha(solver.times[1:]) - process.alpha(solver.times[0]) * solver.shares
    grams, error = [torch.zeros(i + 1, i + 1, dtype=torch.float64) for i in range(steps)], 0.0
    # Gram matrices of each step's directions, and the mean squared error at the end.
    with torch.no_grad():
        for part in sets:
            end, estimates = part.solve(solver)
            for i in range(steps):
                u = directions(process, solver.times[0], part.start, estimates[: i + 1])
                grams[i] += u @ u.mT / (u.shape[1] * len(sets))
            error += float((end - part.end).square().mean()) / len(sets)
    # L^-T of each Gram matrix: independent directions.
    scales = torch.zeros(steps, steps, steps, dtype=torch.float64)
    for i in range(steps):
        scales[i, : i + 1, : i + 1] = error**0.5 * root(grams[i])
        scales[i, 1:] /= rest[i]  # from the state to coefficients
    return scales
