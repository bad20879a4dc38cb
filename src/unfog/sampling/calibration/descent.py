"""The descent of a calibration: L-BFGS over a linear solver's times, shares and coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from unfog.sampling.calibration.fitting import directions, root
from unfog.sampling.calibration.solver import LinearSolver
from unfog.sampling.calibration.trajectories import Trajectories

ROUND = 4  # iterations between two looks at the trajectories kept back
STRETCH = 0.3  # the unit of log-gaps


def descend(
    sets: Sequence[Trajectories], start: LinearSolver, best: Tensor
) -> Iterator[LinearSolver]:
    """Minimises a solver's error through the network by L-BFGS (Liu & Nocedal 1989).

    The variables are the gaps of log t, each by its own log, which keeps the times in order; the
    shares, by what they have beyond sigma_{i+1} / sigma_0; and the coefficients under the diagonal
    (the diagonal makes each row sum to 1). The last two are in independent directions
    (``_scales``).

    Args:
        sets: The training trajectories.
        start: The solver to start from.
        best: The logs (2,) of the best classical solver's squared errors.

    Returns:
        An iterator without end: ``start``, then the solver after each round of ``ROUND``
        iterations.
    """
    process, times, mean = sets[0].denoiser.process, start.times, start.mean
    origin, scales = times[0].log(), _scales(sets, start)
    gaps = (times[:-2].log() - times[1:-1].log()).log()
    extra = start.shares - process.sigma(times[1:]) / process.sigma(times[0])
    stretch = torch.zeros_like(gaps).requires_grad_()
    change = torch.zeros_like(start.weights).requires_grad_()

    def solver() -> LinearSolver:
        # Times from the gaps of log t; the ends stay.
        inner = (origin - (gaps + STRETCH * stretch).exp().cumsum(0)).exp()
        now = torch.cat([times[:1], inner, times[-1:]])
        # Changes of the share (column 0) and of the coefficients under the diagonal (the rest).
        moved = torch.einsum("ijk,ik->ij", scales, change)
        under = torch.tril(start.weights, -1) + torch.nn.functional.pad(moved[:, 1:], (0, 1))
        shares = process.sigma(now[1:]) / process.sigma(now[0]) + extra + moved[:, 0]
        return LinearSolver(now, under + torch.diag(1 - under.sum(1)), shares, mean)

    def closure() -> float:
        optimizer.zero_grad()
        total = 0.0
        # One graph at a time, so that memory is that of one set.
        for part in sets:
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
    """A preconditioner (steps, steps, steps): for each step the matrix from independent variables
    to changes of its share and coefficients, such that a unit change of a variable moves the state
    by the solver's own error.

    Estimates of neighbouring calls are nearly equal, so the coefficients themselves are far from
    independent.
    """
    process, steps = sets[0].denoiser.process, len(solver.weights)
    rest = process.alpha(solver.times[1:]) - process.alpha(solver.times[0]) * solver.shares
    grams, error = [torch.zeros(i + 1, i + 1, dtype=torch.float64) for i in range(steps)], 0.0
    # Gram matrices of the directions at each step, and the solver's mean squared error.
    with torch.no_grad():
        for part in sets:
            end, estimates = part.solve(solver)
            for i in range(steps):
                u = directions(process, solver.times[0], part.start, estimates[: i + 1])
                grams[i] += u @ u.mT / (u.shape[1] * len(sets))
            error += float((end - part.end).square().mean()) / len(sets)
    # Independent directions of unit norm, times the error.
    scales = torch.zeros(steps, steps, steps, dtype=torch.float64)
    for i in range(steps):
        scales[i, : i + 1, : i + 1] = error**0.5 * root(grams[i])
        # Row 0 is the share; the rest are from changes of the state to coefficients B.
        scales[i, 1:] /= rest[i]
    return scales
