r"""The linear multistep solver in its most general form: any times, any lower-triangular
coefficients, any level of noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import Process
from unfog.core.random import Randomness
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.sampling.loop import Condition, History, Sampler, sample


@dataclass(frozen=True)
class LinearSolver:
    """A linear multistep solver as a sampler on its own grid; one network call a step.

    With D_j the denoised estimate of call j, at t_j, and x_start the state at t_0, the next state
    is

        x_{i+1} = s_i x_start + (alpha_{i+1} - alpha_0 s_i) sum_{j <= i} B_ij D_j,   sum_j B_ij = 1.

    Where D is constant and s_i = sigma_{i+1} / sigma_0 this is the exact solution of the
    probability-flow ODE for every B, so every consistent linear solver of one call a step is one B:
    DDIM, Adams, DPM-Solver++, DEIS and UniPC, their free correctors included (a corrected state is
    again such a sum). Another share s_i leaves the data where it is and tells the network another
    time than the state's own noise has. The estimate of pure noise is the data's mean: a solver
    that knows it takes it for D_0, which then costs no call.

    The history is (x_start, D_0, D_1, ...).

    Args:
        times: t, (steps + 1,), float64, from noise to clean data.
        weights: B, (steps, steps), float64.
        shares: s, (steps,), float64.
        mean: the data's mean, (channels, *space), with which the first step makes no call; or None.
    """

    times: Tensor
    weights: Tensor
    shares: Tensor
    mean: Tensor | None = None

    @classmethod
    def of(cls, sampler: Sampler, process: Process, times: Tensor) -> LinearSolver:
        """The linear solver that a deterministic sampler of one call a step is on these times
        (``coefficients``).

        Args:
            sampler: the sampler.
            process: the forward process.
            times: (steps + 1,).

        Returns:
            The solver.
        """
        return cls(
            times,
            coefficients(sampler, process, times),
            process.sigma(times[1:]) / process.sigma(times[0]),
        )

    @property
    def calls(self) -> int:
        """Network calls of all steps."""
        return len(self.weights) - (self.mean is not None)

    def step(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        history: History,
        randomness: Randomness,
        condition: Condition,
    ) -> tuple[Tensor, History]:
        call = max(len(history) - 1, 0)
        if call >= len(self.weights) or not torch.equal(
            torch.stack([t, s]).to(self.times), self.times[call : call + 2]
        ):
            raise InputError(
                f"This solver has its own grid of {len(self.weights)} steps; take its times."
            )
        start, *estimates = history or (x_t,)
        estimates = [*estimates, self.estimate(denoiser, x_t, call, condition)]
        return self.state(denoiser.process, start, estimates), (start, *estimates)

    def estimate(self, denoiser: Denoiser, x_t: Tensor, call: int, condition: Condition) -> Tensor:
        """D of one call: the denoiser's, or at the first the data's mean where the
        solver has it.

        Args:
            denoiser: the model.
            x_t: the state, (batch, channels, *space).
            call: number of the call, from 0.
            condition: of the denoiser.

        Returns:
            (batch, channels, *space).

        Raises:
            InputError: where the mean is of another shape.
        """
        if call or self.mean is None:
            x0: Tensor = denoiser(x_t, self.times[call], **condition).mean
            return x0
        if self.mean.shape != x_t.shape[1:]:
            raise InputError(
                f"This solver was calibrated for samples of shape {tuple(self.mean.shape)}, not "
                f"{tuple(x_t.shape[1:])}."
            )
        return self.mean.to(x_t).expand_as(x_t)

    def state(self, process: Process, start: Tensor, seen: list[Tensor]) -> Tensor:
        """The state after ``len(seen)`` estimates, by the row of B that belongs to the last of
        them.

        Args:
            process: the forward process.
            start: x_start, (batch, channels, *space).
            seen: the estimates so far, likewise.

        Returns:
            (batch, channels, *space).
        """
        step = len(seen) - 1
        share = self.shares[step]
        rest = process.alpha(self.times[step + 1]) - process.alpha(self.times[0]) * share
        mean = sum(
            (expand(weight, x0) * x0 for weight, x0 in zip(self.weights[step], seen, strict=False)),
            torch.zeros_like(start),
        )
        return expand(share, start) * start + expand(rest, start) * mean


class _Recorder(Denoiser):
    """A denoiser that answers call j with the j-th unit vector, and keeps the states it was called
    at.
    """

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process, self.states = process, list[Tensor]()

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        self.states.append(x_t)
        if len(self.states) == x_t.shape[-1]:
            raise InputError("A solver of one call a step is needed; this one makes more.")
        answer = torch.zeros_like(x_t)
        answer[..., len(self.states)] = 1
        return Posterior(answer)


def coefficients(sampler: Sampler, process: Process, times: Tensor) -> Tensor:
    """Reads B off a solver by running it on unit vectors.

    Args:
        sampler: a deterministic solver that makes one call a step.
        process: the forward process.
        times: (calls + 1,).

    Returns:
        B, (calls, calls), float64.

    Raises:
        InputError: for a solver that makes more calls.
    """
    calls, recorder = len(times) - 1, _Recorder(process)
    # Unit vector 0 stands for x_start, unit vector j + 1 for D_j: states are rows of coefficients.
    start = torch.zeros(1, 1, calls + 1, dtype=torch.float64)
    start[..., 0] = 1 / process.sigma(times[0])
    end = sample(recorder, start, times, sampler, randomness=torch.Generator())
    rows = torch.cat([*recorder.states[1:], end])[:, 0]
    share = process.sigma(times[1:]) / process.sigma(times[0])
    rest = process.alpha(times[1:]) - process.alpha(times[0]) * share
    return rows[:, 1:] / rest[:, None]
