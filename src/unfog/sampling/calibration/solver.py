"""The linear multistep solver of the probability-flow ODE in its most general form."""

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
    """A sampler given by its table of coefficients: any linear multistep solver of one network call
    a step.

    With D_j the denoised estimate of call j, at t_j, and x_start the state at t_0, the next state
    is

        x_{i+1} = s_i x_start + (alpha_{i+1} - alpha_0 s_i) sum_{j <= i} B_ij D_j,   sum_j B_ij = 1.

    Where D is constant and s_i = sigma_{i+1} / sigma_0 this is the exact solution of the
    probability-flow ODE for every B, so every consistent linear solver of one call a step is one B:
    DDIM, Adams, DPM-Solver++, DEIS and UniPC, their free correctors included (a corrected state is
    again such a sum). With another share s_i the state has more or less noise than belongs to
    t_{i+1}, the time the network is given, and the same data. History is (x_start, D_0, D_1, ...).

    Args:
        times: t_0 .. t_N (steps + 1,), float64, from noise to clean data.
        weights: B (steps, steps), lower-triangular, float64.
        shares: s (steps,), float64.
        mean: The data's mean (channels, *space). It is the estimate at pure noise, so a solver that
            has it takes it for D_0, and the first step makes no call.
    """

    times: Tensor
    weights: Tensor
    shares: Tensor
    mean: Tensor | None = None

    @classmethod
    def of(cls, sampler: Sampler, process: Process, times: Tensor) -> LinearSolver:
        """A deterministic sampler of one call a step in this form.

        Args:
            sampler: The sampler, such as DDIM or UniPC.
            process: The forward process.
            times: Its times (steps + 1,), float64, falling to 0.

        Returns:
            The linear solver that makes the same steps.
        """
        return cls(
            times,
            coefficients(sampler, process, times),
            process.sigma(times[1:]) / process.sigma(times[0]),
        )

    @property
    def calls(self) -> int:
        """The network calls of all steps."""
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
        """The denoised estimate D of one call: the denoiser's, or the data's mean for the first
        where the solver has it.

        Args:
            denoiser: The model.
            x_t: The state (batch, channels, *space).
            call: The number of the call, from 0.
            condition: The model's conditions by name.

        Returns:
            D, shaped as ``x_t``.
        """
        if call or self.mean is None:
            estimate: Tensor = denoiser(x_t, self.times[call], **condition).mean
            return estimate
        if self.mean.shape != x_t.shape[1:]:
            raise InputError(
                f"This solver was calibrated for samples of shape {tuple(self.mean.shape)}, not "
                f"{tuple(x_t.shape[1:])}."
            )
        return self.mean.to(x_t).expand_as(x_t)

    def state(self, process: Process, start: Tensor, seen: list[Tensor]) -> Tensor:
        """The state after the step that the last estimate belongs to, by that step's row of B.

        Args:
            process: The forward process.
            start: x_start (batch, channels, *space).
            seen: The denoised estimates D_0 .. D_i so far, each shaped as ``start``.

        Returns:
            x_{i+1}, shaped as ``start``.
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
    """A denoiser whose estimate at call j is the j-th unit vector; it records its inputs."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process, self.inputs = process, list[Tensor]()

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        self.inputs.append(x_t)
        if len(self.inputs) == x_t.shape[-1]:
            raise InputError("A solver of one call a step is needed; this one makes more.")
        unit = torch.zeros_like(x_t)
        unit[..., len(self.inputs)] = 1
        return Posterior(unit)


def coefficients(sampler: Sampler, process: Process, times: Tensor) -> Tensor:
    """The coefficients B of a deterministic sampler, read off by running it on unit vectors.

    Args:
        sampler: A sampler that makes one network call a step.
        process: The forward process.
        times: Its times (calls + 1,), float64, falling to 0.

    Returns:
        B (calls, calls), float64.

    Raises:
        InputError: The sampler makes more than one call a step.
    """
    # x_start is the 0-th unit vector (over sigma_0) and D_j the (j+1)-th, so each state holds its
    # own coefficients.
    calls, recorder = len(times) - 1, _Recorder(process)
    start = torch.zeros(1, 1, calls + 1, dtype=torch.float64)
    start[..., 0] = 1 / process.sigma(times[0])
    end = sample(recorder, start, times, sampler, randomness=torch.Generator())
    rows = torch.cat([*recorder.inputs[1:], end])[:, 0]
    # Row i is (alpha_{i+1} - alpha_0 s_i) B_i.
    share = process.sigma(times[1:]) / process.sigma(times[0])
    rest = process.alpha(times[1:]) - process.alpha(times[0]) * share
    return rows[:, 1:] / rest[:, None]
